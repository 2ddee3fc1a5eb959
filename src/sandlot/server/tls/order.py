"""Orders one certificate by ACME: a program of its own, which reads what it needs as JSON from its input.

The hook is called as ``HOOK present NAME VALUE`` to set a TXT record, and ``HOOK cleanup NAME VALUE`` to
remove it. It returns when the record can be seen from outside. Two values of one name are there at once.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from acme import challenges, client, crypto_util, errors, messages
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from josepy.jwk import JWKRSA

from sandlot import __version__
from sandlot.server.files import read, replace
from sandlot.server.tls.identity import Identity

HOOK_S: Final = 300
VALIDATION: Final = timedelta(seconds=300)


class OrderFailed(Exception):
    """In words for whoever runs the server."""


@dataclass(frozen=True)
class Order:
    directory: str
    email: str | None
    hook: str
    domain: str
    folder: str

    def run(self) -> None:
        """Leaves the certificate with its key in ``acme.pem``. Raises OrderFailed, OSError, ACME's errors."""
        account_key = self._account_key()
        acme = self._client(account_key)
        key = _pem(ec.generate_private_key(ec.SECP256R1()))
        order = acme.new_order(crypto_util.make_csr(key, [self.domain, f"*.{self.domain}"]))
        with ExitStack() as records:
            for authorization in order.authorizations:
                if authorization.body.status != messages.STATUS_VALID:
                    challenge = _by_dns(authorization)
                    name = challenge.chall.validation_domain_name(self.domain)
                    records.enter_context(self._record(name, challenge.chall.validation(account_key)))
            for authorization in order.authorizations:
                if authorization.body.status != messages.STATUS_VALID:
                    challenge = _by_dns(authorization)
                    acme.answer_challenge(challenge, challenge.chall.response(account_key))
            order = acme.poll_and_finalize(order, datetime.now() + VALIDATION)
        replace(Path(self.folder) / "acme.pem", Identity(order.fullchain_pem.encode(), key).file, mode=0o600)

    def _account_key(self) -> JWKRSA:
        kept = Path(self.folder) / "acme-account.pem"
        data = read(kept)
        if data is None:
            data = _pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))
            replace(kept, data, mode=0o600)
        return JWKRSA(key=load_pem_private_key(data, password=None))

    def _client(self, key: JWKRSA) -> client.ClientV2:
        network = client.ClientNetwork(key, user_agent=f"sandlot/{__version__}", timeout=30)
        directory = client.ClientV2.get_directory(self.directory, network)
        acme = client.ClientV2(directory, network)
        wanted = messages.NewRegistration.from_data(email=self.email, terms_of_service_agreed=True)
        try:
            acme.new_account(wanted)
        except errors.ConflictError as known:
            network.account = messages.RegistrationResource(uri=known.location, body=messages.Registration())
        return acme

    @contextmanager
    def _record(self, name: str, value: str) -> Iterator[None]:
        try:
            self._call("present", name, value)
            yield
        finally:
            try:
                self._call("cleanup", name, value)
            except (OrderFailed, OSError) as error:
                print(error, file=sys.stderr)  # a record too many keeps nobody from the certificate

    def _call(self, action: str, name: str, value: str) -> None:
        try:
            done = subprocess.run(
                [self.hook, action, name, value], capture_output=True, text=True, timeout=HOOK_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise OrderFailed(f"{self.hook} {action} was not done after {HOOK_S} s") from None
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines() or ["nothing"]
            raise OrderFailed(f"{self.hook} {action} ended with {done.returncode} and said: {said[-1]}")


def _by_dns(authorization: messages.AuthorizationResource) -> messages.ChallengeBody:
    for challenge in authorization.body.challenges:
        if isinstance(challenge.chall, challenges.DNS01):
            return challenge
    raise OrderFailed("this certificate authority offers no proof by DNS")


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _reason(error: Exception) -> str:
    if isinstance(error, errors.ValidationError):
        problems = [
            challenge.error.detail
            for authorization in error.failed_authzrs
            for challenge in authorization.body.challenges
            if challenge.error is not None
        ]
        return "the proof was not accepted: " + "; ".join(map(str, problems))
    if isinstance(error, errors.TimeoutError):
        return f"the certificate authority was not done after {VALIDATION.total_seconds():g} s"
    return str(error) or type(error).__name__


def main() -> int:
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        Order(**json.load(sys.stdin)).run()
    except Exception as error:  # whatever it is, the server must go on and say it
        print(_reason(error).replace("\n", " "), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
