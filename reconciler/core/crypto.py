"""The algorithms that a declaration may name, in charon's words.

Sources: strongSwan's proposal keywords and the names that `get-algorithms` answers with.
AEAD ciphers bring their own integrity; the hash then only names the PRF of the IKE_SA.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import total_ordering

from reconciler.core.mask import shown


@dataclass(frozen=True, slots=True)
class Cipher:
    """One encryption algorithm: charon's keyword, its name in `get-algorithms`, and its rank."""

    keyword: str
    charon_name: str
    aead: bool
    key_bits: int


@dataclass(frozen=True, slots=True)
class Hash:
    """Integrity and PRF of one hash function, as `get-algorithms` names them."""

    keyword: str
    integrity_name: str
    prf_name: str
    bits: int


@dataclass(frozen=True, slots=True)
class Group:
    """One Diffie-Hellman group; `strength_bits` after NIST SP 800-57, table 2."""

    keyword: str
    number: int
    charon_name: str
    strength_bits: int


def _aead(prefix: str, charon_prefix: str) -> dict[str, Cipher]:
    """AEAD keywords in both spellings: tag length in bits (gcm128) and in bytes (gcm16)."""
    found = {}
    for key_bits in (128, 192, 256):
        for tag_bytes in (8, 12, 16):
            keyword = f"aes{key_bits}{prefix}{tag_bytes}"
            cipher = Cipher(keyword, f"{charon_prefix}_{tag_bytes}", True, key_bits)
            found[keyword] = found[f"aes{key_bits}{prefix}{tag_bytes * 8}"] = cipher
    return found


CIPHERS = {
    **_aead("gcm", "AES_GCM"),
    **_aead("ccm", "AES_CCM"),
    "chacha20poly1305": Cipher("chacha20poly1305", "CHACHA20_POLY1305", True, 256),
    "aes128": Cipher("aes128", "AES_CBC", False, 128),
    "aes192": Cipher("aes192", "AES_CBC", False, 192),
    "aes256": Cipher("aes256", "AES_CBC", False, 256),
    "3des": Cipher("3des", "3DES_CBC", False, 112),
}
HASHES = {
    "sha1": Hash("sha1", "HMAC_SHA1_96", "PRF_HMAC_SHA1", 160),
    "sha256": Hash("sha256", "HMAC_SHA2_256_128", "PRF_HMAC_SHA2_256", 256),
    "sha384": Hash("sha384", "HMAC_SHA2_384_192", "PRF_HMAC_SHA2_384", 384),
    "sha512": Hash("sha512", "HMAC_SHA2_512_256", "PRF_HMAC_SHA2_512", 512),
}
GROUPS = {
    group.number: group
    for group in (
        Group("modp1024", 2, "MODP_1024", 80),
        Group("modp1536", 5, "MODP_1536", 96),
        Group("modp2048", 14, "MODP_2048", 112),
        Group("modp3072", 15, "MODP_3072", 128),
        Group("modp4096", 16, "MODP_4096", 140),
        Group("modp6144", 17, "MODP_6144", 160),
        Group("modp8192", 18, "MODP_8192", 180),
        Group("ecp256", 19, "ECP_256", 128),
        Group("ecp384", 20, "ECP_384", 192),
        Group("ecp521", 21, "ECP_521", 256),
        Group("curve25519", 31, "CURVE_25519", 128),
        Group("curve448", 32, "CURVE_448", 224),
    )
}


@total_ordering
@dataclass(frozen=True, slots=True)
class Suite:
    """What one site proposes: a cipher, a hash and a group."""

    cipher: Cipher
    hash: Hash
    group: Group

    @property
    def ike_proposal(self) -> str:
        """The IKE proposal: AEAD names its PRF, the others get PRF and integrity from the hash."""
        middle = f"prf{self.hash.keyword}" if self.cipher.aead else self.hash.keyword
        return f"{self.cipher.keyword}-{middle}-{self.group.keyword}"

    @property
    def esp_proposals(self) -> tuple[str, ...]:
        """With PFS first, then without: routers differ in whether they ask for it."""
        base = self.cipher.keyword
        if not self.cipher.aead:
            base = f"{base}-{self.hash.keyword}"
        return (f"{base}-{self.group.keyword}", base)

    @property
    def weak(self) -> bool:
        """Below 112 bits, or with SHA-1: works, but is worth a warning."""
        return (
            self.group.strength_bits < 112
            or self.cipher.key_bits < 128
            or self.hash.keyword == "sha1"
        )

    @property
    def needs(self) -> frozenset[str]:
        """The algorithm names that charon must list for this suite to work."""
        names = {self.cipher.charon_name, self.hash.prf_name, self.group.charon_name}
        return frozenset(names if self.cipher.aead else names | {self.hash.integrity_name})

    def __lt__(self, other: "Suite") -> bool:
        """Weaker sorts first; the proposal text breaks ties, so the order never depends on luck."""
        return self._rank() < other._rank()

    def _rank(self) -> tuple[int, bool, int, int, str]:
        return (
            self.group.strength_bits,
            self.cipher.aead,
            self.cipher.key_bits,
            self.hash.bits,
            self.ike_proposal,
        )


def parse_cipher_and_hash(text: str) -> tuple[Cipher, Hash]:
    """Read `aes256gcm128` or `aes256-sha256`. Raises ValueError that says what would be right."""
    cipher_text, _, hash_text = text.strip().lower().partition("-")
    cipher = CIPHERS.get(cipher_text)
    hash_ = HASHES.get(hash_text.removeprefix("prf") or "sha256")
    if cipher is None or hash_ is None:
        raise ValueError(
            f"{shown(text)} is not known; write a cipher such as aes256gcm128, aes128gcm128 or "
            f"chacha20poly1305, or a cipher and a hash such as aes256-sha256"
        )
    return cipher, hash_


def parse_group(value: int | str) -> Group:
    """Read a group by number or keyword: 14, "14", "modp2048". Raises ValueError."""
    text = str(value).strip().lower()
    by_keyword = {group.keyword: group for group in GROUPS.values()}
    group = by_keyword.get(text) or (
        GROUPS.get(int(text)) if text.isascii() and text.isdecimal() and len(text) < 4 else None
    )
    if group is None:
        known = ", ".join(str(number) for number in GROUPS)
        raise ValueError(f"{shown(value)} is not a known group; write one of {known}")
    return group


def hub_proposals(suites: Iterable[Suite]) -> tuple[str, ...]:
    """One IKE proposal list for the whole hub, strongest first.

    Per-site lists fail: IKE_SA_INIT is answered from any site's list, before the site is known.
    """
    return tuple(suite.ike_proposal for suite in sorted(set(suites), reverse=True))
