"""What cameras answer, and the proof that some of them ask for."""

import random
import time

import pytest

from reconciler.core.camera_answers import Head, authorization, judge_picture, parse_head


def head(text: str) -> Head:
    found = parse_head(text.replace("\n", "\r\n").encode("latin-1"))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("answer", "beginning", "good", "detail"),
    [
        ("HTTP/1.1 200 OK\nContent-Type: image/jpeg", b"", True, "image/jpeg"),
        ("HTTP/1.0 200 OK\ncontent-type:  IMAGE/PNG; q=1", b"", True, "image/png"),
        (
            "HTTP/1.0 200 OK\nContent-Type: multipart/x-mixed-replace; boundary=--b",
            *(b"", True, "multipart/x-mixed-replace"),
        ),
        ("HTTP/1.1 200 OK\nContent-Type: video/mp2t", b"", True, "video/mp2t"),
        ("HTTP/1.1 200 OK", b"\xff\xd8\xff\xe0", True, "a picture, by its first bytes"),
        ("HTTP/1.1 200 OK\nContent-Type: text/plain", b"\xff\xd8\xff", True, "a picture, by"),
        ("HTTP/1.1 200 OK\nContent-Type: text/html", b"<html>", False, "answers with text/html"),
        ("HTTP/1.1 200 OK", b"hello", False, "answers with no content type"),
        ("HTTP/1.1 200 OK\nContent-Type: \x1b[31m", b"", False, "answers with ?[31m"),
        ("HTTP/1.1 401 Unauthorized", b"", False, "refuses user and password (status 401)"),
        ("HTTP/1.1 404 Not Found", b"", False, "has nothing at this path (status 404)"),
        ("HTTP/1.1 503 Busy\nContent-Type: image/jpeg", b"", False, "answers with status 503"),
    ],
)
def test_only_a_picture_or_a_stream_is_one(
    answer: str, beginning: bytes, good: bool, detail: str
) -> None:
    assert judge_picture(head(answer), beginning)[0] is good
    assert detail in judge_picture(head(answer), beginning)[1]


@pytest.mark.parametrize(
    "data", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1\r\n", b"HTTP/1.1 abc", b"\x00\xff", b"220 ftp"]
)
def test_what_is_no_answer_is_none(data: bytes) -> None:
    assert parse_head(data) is None


def test_digest_is_answered_as_the_standard_shows() -> None:
    """The example of RFC 2617, section 3.5, and those of RFC 7616, section 3.9.1."""
    old = (
        'Digest realm="testrealm@host.com", qop="auth,auth-int", '
        'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    made = authorization((old,), "GET", "/dir/index.html", "Mufasa", "Circle Of Life", "0a4f113b")
    assert made is not None
    assert 'response="6629fae49393a05397450978507c4ef1"' in made
    assert 'opaque="5ccc069c403ebaf9f0171e9517f40e41"' in made
    new = (
        'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    nonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    for algorithm, response in (
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ):
        made = authorization(
            (new.format(algorithm),), "GET", "/dir/index.html", "Mufasa", "Circle of Life", nonce
        )
        assert made is not None
        assert f'response="{response}"' in made


def test_the_stronger_kind_is_chosen_and_basic_only_where_nothing_else_is_offered() -> None:
    digest = 'Digest realm="r", nonce="n"'
    for offered in ((digest, 'Basic realm="r"'), ('Basic realm="r"', digest)):
        assert (authorization(offered, "GET", "/", "u", "p", "c") or "").startswith("Digest ")
    assert authorization(('basic realm="r"',), "GET", "/", "u", "p", "c") == "Basic dTpw"
    unknown = 'Digest realm="r", nonce="n", algorithm=SHA-3'
    assert authorization((unknown, "Negotiate"), "GET", "/", "u", "p", "c") is None


def test_no_line_can_be_smuggled_into_a_request_and_no_challenge_is_too_odd() -> None:
    dice = random.Random(7)  # noqa: S311 - always the same
    pieces = ('"', "\\", "=", ",", " ", "\r\n", "\x00", "realm", "nonce", "qop", "auth", "Digest")
    for _ in range(5_000):
        text = "Digest " + "".join(dice.choices([*pieces, "ä", 'realm="', 'nonce="x"'], k=12))
        made = authorization((text,), "GET", "/", 'u"\r\nX: y', "p", "c")
        assert made is None or not {"\r", "\n", "\x00"} & set(made)


@pytest.mark.parametrize("filling", ["a", 'a="', "a=", "a ", "-", "\\"])
def test_a_challenge_made_to_be_slow_is_read_at_once(filling: str) -> None:
    """While it is searched, nothing else of the process goes on."""
    challenge = "Digest " + filling * (16_000 // len(filling))
    began_s = time.monotonic()
    authorization((challenge,), "GET", "/", "user", "password", "nonce")
    assert time.monotonic() - began_s < 1
