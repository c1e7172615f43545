"""Which way leads to a camera: a table of URLs as people and vendors write them, and a fuzz."""

import random
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from reconciler.core.camera_url import BadUrl, CameraUrl, parse_camera_url
from reconciler.core.names import BELIEVED_S, Resolution
from reconciler.core.routing import Lan, Route, Surroundings, Tunnels, judge

KSPB = Lan("kspb_vpn", (ip_network("192.168.1.0/24"), ip_network("fd00:51::/64")))
KCZK = Lan("kczk_vpn", (ip_network("192.168.2.0/24"), ip_network("10.20.0.0/16")))


def known(*addresses: str, **more: object) -> Resolution:
    found = tuple(ip_address(one) for one in addresses)
    return replace(Resolution(found, answered_s=0.0, due_s=60.0), **more)  # type: ignore[arg-type]


NAMES = {
    "north.kspb.example.org": known("192.168.1.100"),
    "pair.example.org": known("192.168.1.100", "192.168.1.101"),
    "six.example.org": known("fd00:51::100"),
    "dual.example.org": known("192.168.1.100", "fd00:51::100"),
    "split.example.org": known("192.168.1.100", "203.0.114.7"),
    "public.example.org": known("93.184.215.14"),
    "public.example.org.": known("93.184.215.14"),
    "river.example.org": known("192.168.2.9"),
    "gone.example.org": known(absent="there is no such name"),
    "empty.example.org": known(absent="the name has no address"),
    "down.example.org": Resolution(failure="no server answers in time", failures=3),
    "stale.example.org": known("192.168.1.100", failure="no server answers in time"),
    "cam-north": known("192.168.1.100"),
    "kamera.xn--flugplatz-mnchen-tzb.example": known("192.168.1.100"),
    "xn--9krs00a.example": known("192.168.1.100"),
    "cam_1.kspb.example.org": known("192.168.1.100"),
}
AROUND = Surroundings(
    Tunnels([KSPB, KCZK]),
    (ip_network("10.0.0.0/24"), ip_network("10.0.0.5/32"), ip_network("198.51.100.7/32")),
    NAMES,
    now_s=120.0,
)

TUNNEL = [
    # As vendors document them
    "http://192.168.1.100/axis-cgi/jpg/image.cgi?resolution=640x480",  # Axis
    "http://root:pass@192.168.1.100/axis-cgi/mjpg/video.cgi",
    "rtsp://192.168.1.100/axis-media/media.amp?videocodec=h264",
    "rtsp://root:p%40ss@192.168.1.100:554/onvif-media/media.amp?profile=profile_1_h264",
    "rtsp://admin:12345@192.168.1.100:554/Streaming/Channels/101",  # Hikvision
    "rtsp://admin:12345@192.168.1.100:554/Streaming/Channels/102?transportmode=unicast",
    "rtsp://admin:12345@192.168.1.100:554/h264/ch1/main/av_stream",
    "http://admin:12345@192.168.1.100/ISAPI/Streaming/channels/101/picture",
    "http://192.168.1.100/Streaming/Channels/1/picture",
    "rtsp://admin:admin@192.168.1.100:554/cam/realmonitor?channel=1&subtype=0",  # Dahua
    "rtsp://admin:admin@192.168.1.100/cam/realmonitor?channel=1&subtype=00&authbasic=YWRtaW4=",
    "http://admin:admin@192.168.1.100/cgi-bin/snapshot.cgi?channel=1",
    "http://192.168.1.100/cgi-bin/mjpg/video.cgi?channel=1&subtype=1",
    "rtsp://admin:secret@192.168.1.100:554/h264Preview_01_main",  # Reolink
    "rtsp://admin:secret@192.168.1.100:554//h264Preview_01_sub",
    "http://192.168.1.100/cgi-bin/api.cgi?cmd=Snap&channel=0&rs=abc&user=admin&password=secret",
    "https://192.168.1.100/flv?port=1935&app=bcs&stream=channel0_main.bcs&user=u&password=p",
    "rtmp://192.168.1.100/bcs/channel0_main.bcs?channel=0&stream=0&user=admin&password=pw",
    "rtsps://192.168.1.1:7441/AbCdEfGh12345678?enableSrtp",  # UniFi Protect
    "rtsp://192.168.1.1:7447/AbCdEfGh12345678",
    "http://192.168.1.100/snap.jpeg",
    "http://192.168.1.100:88/cgi-bin/CGIProxy.fcgi?cmd=snapPicture2&usr=admin&pwd=secret",  # Foscam
    "rtsp://admin:secret@192.168.1.100:88/videoMain",
    "http://192.168.1.100/snapshot.cgi?user=admin&pwd=secret",
    "http://192.168.1.100/videostream.cgi?user=admin&pwd=",
    "rtsp://admin:admin@192.168.1.100:554/cam/realmonitor?channel=1&subtype=1",  # Amcrest
    "http://admin:admin@192.168.1.100/cgi-bin/snapshot.cgi",
    "http://192.168.1.100/mjpg/video.mjpg",  # Mobotix, Vivotek, Panasonic, Sony, Bosch, Hanwha
    "http://192.168.1.100/record/current.jpg",
    "http://192.168.1.100/control/faststream.jpg?stream=full&fps=4",
    "rtsp://192.168.1.100/live.sdp",
    "http://192.168.1.100/cgi-bin/viewer/video.jpg?quality=3",
    "http://192.168.1.100/SnapshotJPEG?Resolution=640x480",
    "http://192.168.1.100/oneshotimage.jpg",
    "rtsp://192.168.1.100/rtsp_tunnel?h26x=4&line=1&inst=1",
    "http://192.168.1.100/stw-cgi/video.cgi?msubmenu=snapshot&action=view",
    "rtsp://192.168.1.100/profile2/media.smp",
    "rtsp://192.168.1.100:554/user=admin&password=&channel=1&stream=0.sdp?",  # XMEye
    "rtsp://192.168.1.100:554/user=admin_password=tlJwpbo6_channel=1_stream=0.sdp",
    "rtsp://admin:L2A0B1C9@192.168.1.100:554/live/ch00_0",  # Wyze, Tapo, Tenda, Yi, Lorex
    "rtsp://user:pw@192.168.1.100:554/stream1",
    "rtsp://192.168.1.100:8554/unicast",
    "rtsp://192.168.1.100/ch0_0.h264",
    "http://192.168.1.100:8081/",  # motion, mjpg-streamer, Raspberry Pi, ESP32, Blue Iris
    "http://192.168.1.100:8080/?action=snapshot",
    "http://192.168.1.100:8080/?action=stream",
    "http://192.168.1.100:81/stream",
    "http://192.168.1.100/capture",
    "http://192.168.1.100:81/image/North?user=a&pw=b",
    "http://192.168.1.100/html/cam_pic.php",
    # Other schemes
    *("https://192.168.1.100/", "https://192.168.1.100:8443/a.jpg", "rtsp://192.168.1.100"),
    *("rtspt://192.168.1.100/s", "rtspu://192.168.1.100/s", "rtmps://192.168.1.100/app/key"),
    *("ws://192.168.1.100/live", "wss://192.168.1.100/live", "ftp://192.168.1.100/a.jpg"),
    *("mms://192.168.1.100/x", "srt://192.168.1.100:9000", "udp://192.168.1.100:1234"),
    *("tcp://192.168.1.100:5000", "onvif://192.168.1.100/", "h323://192.168.1.100"),
    # Capitals, blanks, ports
    *("HTTP://192.168.1.100/A.JPG", "RtSp://192.168.1.100/", "http://192.168.1.100/a.jpg "),
    *("  http://192.168.1.100/a.jpg", "http://192.168.1.100:/a.jpg", "http://192.168.1.100:080/"),
    *("http://192.168.1.100:1/", "http://192.168.1.100:65535/", "http://192.168.1.100?x=1"),
    *("http://192.168.1.100#top", "http://192.168.1.100/a b.jpg", "http://192.168.1.100/ä.jpg"),
    *("http://192.168.1.100./a.jpg", "http://192.168.1.100//", "http://192.168.1.100/a\\b"),
    # Without a scheme
    *("192.168.1.100/a.jpg", "192.168.1.100", "192.168.1.100:8080/a", "//192.168.1.100/a.jpg"),
    # User and password
    *("rtsp://admin@192.168.1.100/s", "rtsp://:pw@192.168.1.100/s", "rtsp://admin:@192.168.1.100/"),
    *("rtsp://admin:p@ss@192.168.1.100/", "rtsp://a:b@c@d@192.168.1.100:554/s"),
    *("rtsp://admin:p:w@192.168.1.100/s", "rtsp://admin:p%2Fw%3F%23@192.168.1.100/s"),
    *("rtsp://a%40b.example:pw@192.168.1.100/s", "rtsp://admin:%zz@192.168.1.100/s"),
    *(
        "http://admin:päss@192.168.1.100/",
        "http://@192.168.1.100/",
        "http://u:p%0D%0A@192.168.1.100/",
    ),
    "http://192.168.1.100/snap.cgi?user=a@example.org&pwd=x",
    "http://93.184.215.14@192.168.1.100/",  # what looks like the host is the user
    # Addresses in odd clothes that mean one thing
    *(
        "http://3232235876/",
        "http://0xC0A80164/",
        "http://0xc0.0xa8.0x1.0x64/",
        "http://192.168.356/",
    ),
    *("http://192.11010404/", "http://192.168.001.100/", "http://0300.0250.01.0144/"),
    *(
        "http://\uff11\uff19\uff12.168.1.100/",
        "http://192\u3002168\u30021\u3002100/",
        "http://[::ffff:192.168.1.100]/",
    ),
    *("http://[::ffff:c0a8:164]/", "http://[fd00:51::100]/", "http://[FD00:51:0:0::100]:8080/a"),
    *("rtsp://u:p@[fd00:51::100]:554/s", "http://[fd00:51::100%25eth0]/"),
    # Names
    *("http://north.kspb.example.org/a.jpg", "http://NORTH.kspb.Example.ORG/", "http://cam-north/"),
    *("rtsp://u:p@pair.example.org/s", "http://six.example.org/", "http://dual.example.org/"),
    *("http://cam_1.kspb.example.org/", "http://stale.example.org/", "north.kspb.example.org:81/a"),
    *(
        "http://kamera.Flugplatz-München.example/",
        "http://\uff2e\uff2f\uff32\uff34\uff28.kspb.example.org/",
    ),
    "http://kamera.xn--flugplatz-mnchen-tzb.example/",
]
OTHERS = {
    Route.DIRECT: [
        *("https://93.184.215.14/a.jpg", "http://8.8.8.8/", "https://public.example.org/cam.jpg"),
        *(
            "https://public.example.org./cam.jpg",
            "http://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/",
        ),
        *("http://10.0.0.77/", "https://u:p@public.example.org:8443/", "http://134744072/"),
        *("https://public.example.org/@town/live.jpg", "public.example.org/a.jpg"),
        "http://[::ffff:8.8.8.8]/",
        "http://192.168.1.100@public.example.org/",
    ],
    Route.OUTSIDE_LAN: [
        *("http://192.168.3.100/", "http://10.1.2.3/", "http://172.16.0.9/", "http://100.64.0.1/"),
        *("http://[fd00:99::1]/", "http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/"),
        *(
            "http://[fe80::1]/",
            "http://169.254.1.1/",
            "udp://239.1.2.3:1234",
            "rtp://224.0.0.1:5004",
        ),
        *("http://255.255.255.255/", "http://192.168.1.255/", "http://192.168.1.0/"),
        *("http://[ff02::1]/", "http://203.0.113.9/", "http://[2001:db8::1]/"),
    ],
    Route.OTHER_TUNNEL: [
        *("http://192.168.2.100/", "http://10.20.0.5/image", "http://river.example.org/"),
        "http://[::ffff:192.168.2.100]/",
    ],
    Route.HUB_ITSELF: [
        *("http://127.0.0.1/", "http://localhost/", "http://LOCALHOST:8080/", "http://[::1]/"),
        *("http://0.0.0.0/", "http://10.0.0.5/", "http://198.51.100.7/", "http://2130706433/"),
        *(
            "http://cam.localhost/",
            "http://127.1/",
            "http://0/",
            "http://localhost./",
            "http://[::]/",
        ),
        "http://0x7f000001/",
    ],
    Route.AMBIGUOUS: [
        *("http://192.168.1.010/", "http://010.0.0.1/", "http://192.168.01.0100/"),
        *("http://192.168.010.1/", "rtsp://u:p@192.168.1.0144/s", "http://split.example.org/"),
    ],
    Route.UNRESOLVED: ["http://gone.example.org/", "rtsp://u:p@empty.example.org/s"],
    Route.RESOLVER_DOWN: ["http://down.example.org/"],
    Route.PENDING: ["http://new.example.org/", "http://cam.local/", "http://a.b.c.d.example/"],
    Route.INVALID_URL: [
        *("", " ", "http://", "http:///a", "http://:80/", "http://u:p@/a", "://192.168.1.100/"),
        *(
            "http:/192.168.1.100/",
            "http:192.168.1.100",
            "rtsp:///192.168.1.100/",
            "snapshot/x y",
        ),
        *(
            "file:///etc/passwd",
            "data:image/png;base64,AAAA",
            "javascript:alert(1)",
            "admin:pw@host",
        ),
        *("http://192.168.1.256/", "http://192.168.1.1.1/", "http://1.2.3.4.5/", "http://cam.1/"),
        *("http://192.168.1.-1/", "http://0x1ffffffff/", "http://4294967296/", "http://09/"),
        *("http://192.168.1.100:99999/", "http://192.168.1.100:0/", "http://192.168.1.100:http/"),
        *(
            "http://192.168.1.100:-1/",
            "http://fd00:51::100/",
            "http://fe80::1%eth0/",
            "http://[fd00::1/",
        ),
        *("http://[fd00::g]/", "http://[192.168.1.100]/", "http://[fd00:51::100]x/", "http://[]/"),
        *("rtsp://admin:pa/ss@192.168.1.100/s", "rtsp://admin:pa?ss@192.168.1.100/s"),
        *("rtsp://admin:pa#ss@192.168.1.100/s", "rtsp://admin:12/x@192.168.1.100/s"),
        *("rtsp://admin:12?x@192.168.1.100/s", "http://u:p\\@192.168.1.100/", "http://a\\b/"),
        *("http://192.168.1.100\n/", "http://192.168.1.100/\x00", "http://ca m/", "http://cam!/"),
        *(
            "http://192%2E168.1.100/",
            "http://-cam.example/",
            "http://cam-.example/",
            "http://a..b/",
        ),
        *("http://.example/", "http://" + "a" * 64 + ".example/", "http://" + "a." * 128 + "b/"),
        *("http://straße.example/", "http://a\u200db.example/", "http://u:p:w/x", "http://\ud800/"),
        "http://192.168.1.100/" + "a" * 4096,
    ],
}
TABLE = [
    *((url, Route.TUNNEL) for url in TUNNEL),
    *((url, route) for route, urls in OTHERS.items() for url in urls),
]


def test_the_table_is_large_and_has_every_verdict() -> None:
    assert len({url for url, _ in TABLE}) >= 150
    assert {route for _, route in TABLE} | {Route.NO_TUNNEL} == set(Route)


@pytest.mark.parametrize(("url", "expected"), TABLE, ids=[*map(str, range(len(TABLE)))])
def test_each_url_has_its_verdict(url: str, expected: Route) -> None:
    verdict = judge(parse_camera_url(url), KSPB, AROUND)
    assert verdict.route is expected, verdict.reason
    assert verdict.reason
    assert (verdict.connection == "kspb_vpn") == (expected is Route.TUNNEL)


def reason(url: str, own: Lan | None = KSPB, around: Surroundings = AROUND) -> str:
    return judge(parse_camera_url(url), own, around).reason


def test_a_private_address_of_an_airport_without_a_tunnel_is_told_as_that() -> None:
    verdict = judge(parse_camera_url("http://192.168.9.1/"), None, AROUND)
    assert verdict.route is Route.NO_TUNNEL
    assert judge(parse_camera_url("http://8.8.8.8/"), None, AROUND).route is Route.DIRECT


def test_where_no_airport_is_meant_every_tunnel_is_right_and_is_named() -> None:
    url = parse_camera_url("http://10.20.0.5/image")
    verdict = judge(url, None, AROUND, anybody=True)
    assert (verdict.route, verdict.connection) == (Route.TUNNEL, "kczk_vpn")
    nobody = judge(parse_camera_url("http://192.168.9.1/"), None, AROUND, anybody=True)
    assert (nobody.route, "no airport declares" in nobody.reason) == (Route.NO_TUNNEL, True)


def test_the_reason_says_what_to_correct() -> None:
    assert "declared LAN 192.168.1.0/24" in reason("http://192.168.3.9/")
    assert "kczk_vpn" in reason("http://192.168.2.9/")
    assert "192.168.1.8 or 192.168.1.10" in reason("http://192.168.1.010/")
    assert "taken for http" in reason("192.168.1.100/x")
    assert "%2F" in reason("rtsp://admin:pa/ss@192.168.1.100/s")
    assert "203.0.114.7 is direct" in reason("http://split.example.org/")


def test_an_old_answer_is_believed_for_an_hour_and_that_is_said_and_then_not_any_more() -> None:
    url = "http://stale.example.org/"
    assert "by an answer of 2 min ago" in reason(url)
    late = replace(AROUND, now_s=BELIEVED_S + 1)
    assert judge(parse_camera_url(url), KSPB, late).route is Route.RESOLVER_DOWN


def test_the_tunnel_of_an_address_is_found_among_thousands_of_all_lengths() -> None:
    lans = [Lan(f"n{n}", (ip_network((n << 16 | 10 << 24, 20 + n % 9)),)) for n in range(256)]
    found = Tunnels(lans)
    for lan in lans:
        assert found.of(lan.subnets[0][1]) == lan.connection
        assert found.of(lan.subnets[0].broadcast_address + 1) in (
            "",
            f"n{int(lan.connection[1:]) + 1}",
        )
    assert found.of(ip_address("::1")) == ""


@pytest.mark.parametrize(
    ("url", "user", "password", "target", "port"),
    [
        ("rtsp://admin:p@ss@192.168.1.100/s?a=1#f", "admin", "p@ss", "/s?a=1", 554),
        ("rtsp://admin:p%40%2F%3A@192.168.1.100:8554", "admin", "p@/:", "/", 8554),
        ("http://a%40b.c:p:w@192.168.1.100/ä b", "a@b.c", "p:w", "/%C3%A4%20b", 80),
        ("https://u@192.168.1.100/", "u", "", "/", 443),
        ("http://192.168.1.100?x=1", "", "", "/?x=1", 80),
        ("rtsps://192.168.1.1:7441/k?enableSrtp", "", "", "/k?enableSrtp", 7441),
        ("onvif://u:%ff@192.168.1.100/", "u", "\ufffd", "/", None),
    ],
)
def test_the_keys_in_a_url_are_read_as_they_are_meant(
    url: str, user: str, password: str, target: str, port: int | None
) -> None:
    found = parse_camera_url(url)
    assert isinstance(found, CameraUrl)
    assert (found.user, found.password, found.target) == (user, password, target)
    assert found.port == port


SECRETS = ("s3cr3t-Pass", "Adm1nUser", "t0kenInQuery", "p4thToken")
SECRET_FORMS = [
    "rtsp://{1}:{0}@192.168.1.100/s?k={2}",
    "rtsp://{1}:{0}/x@192.168.1.100/s",
    "rtsp://{1}:{0}?x@192.168.1.100/s",
    "rtsp://{1}:{0}@192.168.1.100:99999/",
    "rtsp://{1}:{0}@192.168.1.300/{3}",
    "http://{1}:{0}@[fd00::zz]/",
    "http://192.168.1.100/{3}?user={1}&pwd={0}",
    "{1}:{0}@192.168.1.100/{3}",
    "http://{1}:{0}@gone.example.org/{3}",
    "http://{1}:{0}@192.168.1.010/{3}",
]


@pytest.mark.parametrize("form", SECRET_FORMS)
def test_no_key_gets_into_a_reason_or_a_representation(form: str) -> None:
    url = parse_camera_url(form.format(*SECRETS))
    said = f"{url!r} {judge(url, KSPB, AROUND)!r}"
    assert not [secret for secret in SECRETS if secret.lower() in said.lower()]


PIECES = (
    *("http", "rtsp", "://", ":", "/", "//", "@", "?", "#", "[", "]", "%", "%25", "%40", ".", ".."),
    *(
        "192.168.1.100",
        "192.168.1.",
        "010",
        "0x",
        "fd00::1",
        "::ffff:1.2.3.4",
        "cam",
        "münchen",
        "ß",
    ),
    *(
        "\u3002",
        "\uff0e",
        "xn--",
        "xn--a",
        "-",
        "_",
        " ",
        "\t",
        "\n",
        "\x00",
        "\ud800",
        "\u202e",
        "\\",
    ),
    *(
        "a" * 64,
        "65536",
        "554",
        "\U0001f6e9",
        "é",
        "İ",
        "\u0661",
        "localhost",
        "north.kspb.example.org",
    ),
)


def test_whatever_is_written_there_is_a_verdict_and_never_an_exception() -> None:
    dice = random.Random(5)  # noqa: S311 - always the same
    for _ in range(20_000):
        text = "".join(dice.choices(PIECES, k=dice.randrange(1, 12)))
        url = parse_camera_url(text)
        verdict = judge(url, KSPB, AROUND)
        assert verdict.reason
        if isinstance(url, CameraUrl):
            assert url.target.startswith("/")
            assert url.host
            assert url.host.isascii()
            assert url.target.isascii()
            assert "\n" not in url.host + url.target
            assert url.port is None or 0 < url.port < 65536
        else:
            assert verdict.route is Route.INVALID_URL


@pytest.mark.parametrize("odd", [None, 5, True, 1.5, [], {}, b"http://192.168.1.100/"], ids=repr)
def test_what_is_no_text_is_no_url(odd: object) -> None:
    assert isinstance(parse_camera_url(odd), BadUrl)
