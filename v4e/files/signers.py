"""Signers: a private key and its certificates in one PEM file, and one of this machine for tests."""

import datetime
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

TEST_NAME = "v4e test signer"  # anybody can make one: it proves that a file was not changed, not who made it
DAYS = 3650
CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclass(frozen=True, kw_only=True)
class Signer:
    """A key and the chain of its certificates, the signer's own first."""

    algorithm: str  # of C2PA: es256, ps256, ed25519, ...
    key_pem: bytes = field(repr=False)
    chain_pem: bytes
    name: str


def open_signer(path: str) -> Signer:
    """Reads a key and its certificates from one PEM file.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file lacks a key or a certificate, they are not of each other, or C2PA knows no such key.
    """
    try:
        pem = Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file: expected a private key and its certificates in PEM") from None
    try:
        key, chain = load_pem_private_key(pem, None), x509.load_pem_x509_certificates(pem)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: expected an unencrypted private key and its certificates in PEM ({error})") from None
    if chain[0].public_key() != key.public_key():
        raise ValueError(f"{path}: its first certificate is not of its key: put the signer's own certificate first")
    if isinstance(key, ec.EllipticCurvePrivateKey):
        algorithm = CURVES.get(key.curve.name, "")
    else:
        kinds = {ed25519.Ed25519PrivateKey: "ed25519", rsa.RSAPrivateKey: "ps256"}
        algorithm = next((name for kind, name in kinds.items() if isinstance(key, kind)), "")
    if not algorithm:
        raise ValueError(f"{path}: {type(key).__name__}: expected a key of RSA, Ed25519, P-256, P-384 or P-521")
    names = chain[0].subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Signer(
        algorithm=algorithm,
        key_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        chain_pem=b"".join(one.public_bytes(Encoding.PEM) for one in chain),
        name=str(names[0].value) if names else chain[0].subject.rfc4514_string(),
    )


def own_signer(path: str) -> Signer:
    """Returns this machine's own signer, in a file that is made on first use and only its owner can read."""
    file = Path(path)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=file.parent) as whole:  # which its owner alone can read
            whole.write(make_signer())
            whole.flush()
            with suppress(FileExistsError):
                os.link(whole.name, file)  # never over one that another thread or process has made meanwhile
    return open_signer(path)


def make_signer(name: str = TEST_NAME, days: int = DAYS) -> bytes:
    """Makes a key, its certificate and that of its own root, in PEM; the root's key is forgotten."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = _name(f"{name}, root")
    root = _certificate(issuer, root_key, issuer, root_key, days)
    own = _certificate(_name(name), key, issuer, root_key, days)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + own.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM)


def _name(name: str) -> x509.Name:
    pairs = (NameOID.ORGANIZATION_NAME, "v4e"), (NameOID.COMMON_NAME, name)
    return x509.Name([x509.NameAttribute(*pair) for pair in pairs])


def _certificate(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    days: int,
) -> x509.Certificate:
    """Returns a certificate as C2PA asks for; one of itself is a root, any other is for signing alone."""
    root, now = key is issuer_key, datetime.datetime.now(datetime.UTC)
    from_day = now + datetime.timedelta(days=min(0, days) - 1)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    builder = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(from_day)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=root, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=not root, key_cert_sign=root, crl_sign=root, decipher_only=False, **usage),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not root:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())
