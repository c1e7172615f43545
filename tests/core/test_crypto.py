"""Ciphers, hashes and groups: spellings, proposal texts in charon's words, and their order."""

from itertools import pairwise, permutations, product

import pytest

from reconciler.core.crypto import (
    CIPHERS,
    GROUPS,
    HASHES,
    Suite,
    hub_proposals,
    parse_cipher_and_hash,
    parse_group,
)


def suite(cipher_and_hash: str, group: int | str = 14) -> Suite:
    return Suite(*parse_cipher_and_hash(cipher_and_hash), parse_group(group))


ALL = [Suite(c, h, g) for c, h, g in product(CIPHERS.values(), HASHES.values(), GROUPS.values())]


@pytest.mark.parametrize(
    ("text", "proposal"),
    [
        ("aes256gcm128", "aes256gcm16-prfsha256-modp2048"),
        ("aes256gcm16", "aes256gcm16-prfsha256-modp2048"),
        (" AES256GCM128 ", "aes256gcm16-prfsha256-modp2048"),
        ("aes256gcm128-sha384", "aes256gcm16-prfsha384-modp2048"),
        ("aes256gcm128-prfsha384", "aes256gcm16-prfsha384-modp2048"),
        ("aes128gcm64", "aes128gcm8-prfsha256-modp2048"),
        ("aes192ccm96", "aes192ccm12-prfsha256-modp2048"),
        ("chacha20poly1305", "chacha20poly1305-prfsha256-modp2048"),
        ("aes256", "aes256-sha256-modp2048"),
        ("aes256-sha512", "aes256-sha512-modp2048"),
        ("3des-sha1", "3des-sha1-modp2048"),
    ],
)
def test_every_spelling_gives_one_proposal_in_charons_words(text: str, proposal: str) -> None:
    assert suite(text).ike_proposal == proposal


def test_both_spellings_of_a_tag_length_are_one_cipher() -> None:
    for bits, mode, (tag_bytes, tag_bits) in product(
        (128, 192, 256), ("gcm", "ccm"), ((8, 64), (12, 96), (16, 128))
    ):
        assert CIPHERS[f"aes{bits}{mode}{tag_bytes}"] == CIPHERS[f"aes{bits}{mode}{tag_bits}"]


@pytest.mark.parametrize(
    ("value", "keyword"),
    [
        *product([14, "14", " 14 ", "MODP2048"], ["modp2048"]),
        (19, "ecp256"),
        ("31", "curve25519"),
        ("ecp521", "ecp521"),
        (18, "modp8192"),
    ],
    ids=repr,
)
def test_a_group_is_read_by_number_and_by_name(value: int | str, keyword: str) -> None:
    assert parse_group(value).keyword == keyword


@pytest.mark.parametrize("value", ["", "0", 1, -14, "١٤", "modp", "14.0", "9" * 5000], ids=repr)
def test_an_unknown_group_is_refused(value: int | str) -> None:
    with pytest.raises(ValueError, match="is not a known group; write one of 2, 5, 14"):
        parse_group(value)


def test_groups_have_the_numbers_of_iana() -> None:
    numbers = {group.keyword: number for number, group in GROUPS.items()}
    assert numbers["modp1024"] == 2
    assert numbers["modp2048"] == 14
    assert numbers["modp3072"] == 15
    assert numbers["modp4096"] == 16
    assert numbers["ecp256"] == 19
    assert numbers["ecp384"] == 20
    assert numbers["curve25519"] == 31


def test_esp_offers_pfs_first_and_then_does_without() -> None:
    assert suite("aes256gcm128").esp_proposals == ("aes256gcm16-modp2048", "aes256gcm16")
    assert suite("aes256-sha512", 19).esp_proposals == ("aes256-sha512-ecp256", "aes256-sha512")


@pytest.mark.parametrize(
    ("made", "needs"),
    [
        (suite("aes256gcm128", 20), {"AES_GCM_16", "PRF_HMAC_SHA2_256", "ECP_384"}),
        (
            suite("aes256-sha384", 31),
            {"AES_CBC", "PRF_HMAC_SHA2_384", "HMAC_SHA2_384_192", "CURVE_25519"},
        ),
    ],
    ids=["AEAD", "CBC"],
)
def test_a_suite_names_what_charon_must_have(made: Suite, needs: set[str]) -> None:
    assert made.needs == needs


@pytest.mark.parametrize(
    ("made", "weak"),
    [
        (suite("aes256gcm128", 14), False),
        (suite("aes128-sha256", 14), False),
        (suite("aes256gcm128", 5), True),
        (suite("aes256gcm128", 2), True),
        (suite("3des-sha256", 14), True),
        (suite("aes256-sha1", 14), True),
    ],
    ids=lambda value: getattr(value, "ike_proposal", str(value)),
)
def test_what_is_weak_is_known(made: Suite, weak: bool) -> None:
    assert made.weak is weak


def test_the_hubs_list_goes_from_strong_to_weak() -> None:
    assert hub_proposals(
        [
            suite("3des-sha1", 2),
            suite("aes256gcm128", 14),
            suite("aes256-sha256", 14),
            suite("aes128gcm128", 14),
            suite("aes256gcm128-sha384", 20),
            suite("aes128gcm128", 19),
        ]
    ) == (
        "aes256gcm16-prfsha384-ecp384",
        "aes128gcm16-prfsha256-ecp256",
        "aes256gcm16-prfsha256-modp2048",
        "aes128gcm16-prfsha256-modp2048",
        "aes256-sha256-modp2048",
        "3des-sha1-modp1024",
    )


def test_the_hubs_list_names_each_proposal_once() -> None:
    assert len(hub_proposals([suite("aes256gcm128"), suite("aes256gcm16", "modp2048")])) == 1
    assert hub_proposals([]) == ()


def test_the_hubs_list_does_not_depend_on_the_order_of_the_sites() -> None:
    some = [suite("aes256gcm128", g) for g in (14, 19, 31)] + [suite("chacha20poly1305", 31)]
    assert len({hub_proposals(order) for order in permutations(some)}) == 1


def test_any_two_suites_have_one_order() -> None:
    """A tie would let luck decide, and a list in another order is another mark for every site."""
    unique = set(ALL)
    assert len({made.ike_proposal for made in unique}) == len(unique)
    ordered = sorted(unique)
    assert all(one < other for one, other in pairwise(ordered))
