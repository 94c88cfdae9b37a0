"""Keys, tokens and messages for the tests of OAUTHBEARER and XOAUTH2, made with python3-cryptography alone, so that they can be
wrong in every way."""
import base64
import json
import time

from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

ISSUER, AUDIENCE, SCOPE = "https://issuer.example/", "imap.example.org", "mail"
HASHES = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
CURVES = {"ES256": ("P-256", ec.SECP256R1, 32), "ES384": ("P-384", ec.SECP384R1, 48), "ES512": ("P-521", ec.SECP521R1, 66)}
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


def b64(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def number(n, length=None):
    return b64(n.to_bytes(length or (n.bit_length() + 7) // 8, "big"))


def make_key(kind):
    """A private key: RSA, ES256, ES384, ES512, EdDSA, or RSA and a number of bits."""
    if kind.startswith("RSA"):
        return rsa.generate_private_key(65537, int(kind[3:] or 2048))
    return ed25519.Ed25519PrivateKey.generate() if kind == "EdDSA" else ec.generate_private_key(CURVES[kind][1]())


def pem(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def jwk(key, **more):
    public = key.public_key()
    if isinstance(key, rsa.RSAPrivateKey):
        n = public.public_numbers()
        return dict({"kty": "RSA", "n": number(n.n), "e": number(n.e)}, **more)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return dict({"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}, **more)
    n = public.public_numbers()
    crv, _, size = next(c for c in CURVES.values() if c[1].key_size == key.key_size)
    return dict({"kty": "EC", "crv": crv, "x": number(n.x, size), "y": number(n.y, size)}, **more)


def sign(key, alg, text, salt=None):
    if alg.startswith("HS"):
        mac = hmac.HMAC(key, HASHES[alg[2:]]())
        mac.update(text)
        return mac.finalize()
    digest = HASHES[alg[2:]]() if alg != "EdDSA" else None
    if alg.startswith("RS"):
        return key.sign(text, padding.PKCS1v15(), digest)
    if alg.startswith("PS"):
        return key.sign(text, padding.PSS(padding.MGF1(HASHES[alg[2:]]()), digest.digest_size if salt is None else salt), digest)
    if alg.startswith("ES"):
        r, s = decode_dss_signature(key.sign(text, ec.ECDSA(digest)))
        size = (key.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    return key.sign(text)


def claims(user="alice", **changes):
    """The claims of a good token; a change to None takes a claim out."""
    now = int(time.time())
    c = {"iss": ISSUER, "aud": AUDIENCE, "sub": user, "exp": now + 600, "iat": now, "nbf": now, "scope": "openid mail"}
    c.update(changes)
    return {k: v for k, v in c.items() if v is not None}


def token(key, alg, payload=None, header=None, salt=None):
    """payload and header: dictionaries, or octets as they are."""
    if payload is None:
        payload = claims()
    head = {"alg": alg, "typ": "JWT"} if header is None else header
    parts = [b64(x if isinstance(x, bytes) else json.dumps(x).encode()) for x in (head, payload)]
    text = ".".join(parts)
    return text + "." + b64(sign(key, alg, text.encode(), salt))


def oauthbearer(text, authzid="", extra="host=imap.example.org\1port=143\1"):
    name = "a=" + authzid.replace("=", "=3D").replace(",", "=2C") if authzid else ""
    return f"n,{name},\1{extra}auth=Bearer {text}\1\1".encode()


def xoauth2(text, user="alice"):
    return f"user={user}\1auth=Bearer {text}\1\1".encode()
