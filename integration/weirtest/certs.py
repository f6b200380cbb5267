"""Certificates for the TLS tests: a CA, a server, clients, and a CA that nobody trusts."""

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Pair:
    """A certificate and its key, in files and as objects."""

    certificate: Path
    key: Path
    object: x509.Certificate
    private: ec.EllipticCurvePrivateKey

    @property
    def certificate_bytes(self):
        return self.certificate.read_bytes()

    @property
    def key_bytes(self):
        return self.key.read_bytes()


def build(folder, name, issuer, sans, lifetime=datetime.timedelta(days=30)):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.object.subject if issuer else subject)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + lifetime)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True))
    if sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
    certificate = builder.sign(issuer.private if issuer else key, hashes.SHA256())
    pair = Pair(folder / f"{name}.crt", folder / f"{name}.key", certificate, key)
    pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pair.key.write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return pair


class Certificates:
    """All pairs that the suite needs, made once per session in `folder`."""

    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        local = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        self.ca = build(folder, "ca", None, [])
        self.server = build(folder, "server", self.ca, local)
        self.client = build(folder, "client", self.ca, [x509.UniformResourceIdentifier("spiffe://prod/ns/web/sa/envoy")])
        self.other_client = build(
            folder, "other-client", self.ca, [x509.UniformResourceIdentifier("spiffe://test/ns/web/sa/curl")])
        self.wrong_ca = build(folder, "wrong-ca", None, [])
        self.wrong_server = build(folder, "wrong-server", self.wrong_ca, local)
        self.wrong_client = build(
            folder, "wrong-client", self.wrong_ca, [x509.UniformResourceIdentifier("spiffe://prod/ns/web/sa/envoy")])

    def short_lived(self, folder, name, seconds):
        """A pair for both ends of a connection that is good for so many seconds."""
        sans = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
                x509.UniformResourceIdentifier("spiffe://prod/ns/web/sa/envoy")]
        return build(folder, name, self.ca, sans, datetime.timedelta(seconds=seconds))

    def server_credentials(self, pair=None, client_ca=None):
        """gRPC credentials for a scripted control plane."""
        pair = pair or self.server
        return grpc.ssl_server_credentials(
            [(pair.key_bytes, pair.certificate_bytes)], client_ca.certificate_bytes if client_ca else None,
            client_ca is not None)

    def channel_credentials(self, ca=None, client=None):
        """gRPC credentials for a scripted client."""
        return grpc.ssl_channel_credentials(
            (ca or self.ca).certificate_bytes, client.key_bytes if client else None,
            client.certificate_bytes if client else None)

    def raw_context(self, ca=None, client=None, alpn=("h2", )):
        """An ssl context for sockets."""
        context = ssl.create_default_context(cafile=str((ca or self.ca).certificate))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if client:
            context.load_cert_chain(client.certificate, client.key)
        return context
