"""The certificate authority, the server's certificate, the admin's token and the kubeconfig: files of the data dir."""

from __future__ import annotations

import ipaddress
import os
import secrets
import ssl
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, Name

YEARS = timedelta(days=3650)
SERVICE_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a data directory keeps: PEM files for TLS, the signing key of tokens, the admin's token."""

    ca: Path
    certificate: Path
    key: Path
    signing_key: Path
    admin_token: str

    @property
    def ca_pem(self) -> str:
        return self.ca.read_text()

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        return context


def credentials(data_dir: Path, address: str) -> Credentials:
    """Those of the data directory, made when it has none. Private files are for the owner alone.

    A new certificate is for `address` too: the Service's that this start expects.
    """
    folder = data_dir / "pki"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    paths = [folder / name for name in ("ca.crt", "server.crt", "server.key", "tokens.key")]
    token = folder / "admin.token"
    if not all(path.exists() for path in [*paths, token]):
        _make(address, *paths)
        write_private(token, secrets.token_urlsafe(32))
    ca, certificate, key, signing_key = paths
    return Credentials(ca, certificate, key, signing_key, token.read_text())


def faults_token(data_dir: Path) -> str:
    """Opens the fault endpoint and nothing else; in ``faults.token`` of the data directory."""
    path = data_dir / "faults.token"
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32))
    return path.read_text()


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody else can read at any moment."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)


def _make(address: str, ca_path: Path, certificate_path: Path, key_path: Path, signing_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec

    authority, server, signing = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    ca = _authority(authority)
    certificate = _server(server, authority, ca, address)
    ca_path.write_bytes(_certificate_pem(ca))
    certificate_path.write_bytes(_certificate_pem(certificate))
    write_private(key_path, _key_pem(server))
    write_private(signing_path, _key_pem(signing))


def _named(common_name: str) -> Name:
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


def _builder(subject: Name, issuer: Name, key: EllipticCurvePrivateKey) -> Any:
    from cryptography import x509

    begin = datetime.now(UTC) - timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + YEARS)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _authority(key: EllipticCurvePrivateKey) -> Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    name = _named("devplane")
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    builder = _builder(name, name, key)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    certificate: Certificate = builder.add_extension(usage, critical=True).sign(key, SHA256())
    return certificate


def _server(
    key: EllipticCurvePrivateKey, authority: EllipticCurvePrivateKey, ca: Certificate, address: str
) -> Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509.oid import ExtendedKeyUsageOID

    addresses = [x509.IPAddress(ipaddress.ip_address(one)) for one in ("127.0.0.1", address)]
    names = [*(x509.DNSName(one) for one in ("localhost", *SERVICE_NAMES)), *addresses]
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    builder = _builder(_named("devplane-apiserver"), ca.subject, key)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(issuer, critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    certificate: Certificate = builder.sign(authority, SHA256())
    return certificate


def _certificate_pem(certificate: Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: EllipticCurvePrivateKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def kubeconfig(server: str, ca_pem: str, token: str) -> str:
    """A kubeconfig for the admin, as JSON (which is YAML)."""
    import json

    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "devplane",
                    "cluster": {"server": server, "certificate-authority-data": b64encode(ca_pem.encode()).decode()},
                }
            ],
            "users": [{"name": "devplane-admin", "user": {"token": token}}],
            "contexts": [
                {
                    "name": "devplane",
                    "context": {"cluster": "devplane", "user": "devplane-admin", "namespace": "default"},
                }
            ],
            "current-context": "devplane",
        },
        indent=2,
    )
