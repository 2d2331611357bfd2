"""A certificate that no client knows, made when it is wanted."""

from __future__ import annotations

import datetime
import ssl
import tempfile
from contextlib import ExitStack
from pathlib import Path

DAY = datetime.timedelta(days=1)


def self_signed(stack: ExitStack) -> ssl.SSLContext:
    """TLS with a certificate signed by itself; its file and key are gone when the stack closes."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    # A day to both sides: a client's clock may be off, and it is the signer that is to be refused, not the date.
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now - DAY).not_valid_after(now + DAY)
    pem = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    # ssl reads certificates from files alone.
    file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "server.pem"
    file.write_bytes(pem + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
