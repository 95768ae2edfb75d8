"""A school's accounts, for tests: OpenID Connect's and LTI 1.3's side that is not the hub's, on this machine alone.

    python identity_provider.py

Prints its port. Whoever `/as/NAME` was asked for last is who logs in. Its Python needs the packages of the group
`class`, one of which is PyJWT.
"""

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT, SECRET = "the-class", "a secret of the school and the class"
LTI = "https://purl.imsglobal.org/spec/lti/claim/"
KEY, FOREIGN = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))


class Provider(BaseHTTPRequestHandler):
    """Answers like a school's server: /authorize, /token and /userinfo for OAuth, /auth and /certs for LTI."""

    who = ""

    def do_GET(self):
        """What a browser, or the hub, asks for."""
        where = urlsplit(self.path)
        asked = {name: values[-1] for name, values in parse_qs(where.query).items()}
        if where.path.startswith("/as/"):
            Provider.who = where.path.removeprefix("/as/")
            self.answer({})
        elif where.path == "/authorize":
            assert asked["client_id"] == CLIENT
            self.send_response(302)
            query = urlencode({"code": f"code of {self.who}", "state": asked["state"]})
            self.send_header("Location", f"{asked['redirect_uri']}?{query}")
            self.end_headers()
        elif where.path == "/userinfo":
            self.answer({"preferred_username": self.headers["Authorization"].removeprefix("Bearer token of ")})
        elif where.path == "/certs":
            public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
            self.answer({"keys": [{**public, "kid": "1", "use": "sig", "alg": "RS256"}]})
        elif where.path == "/auth":
            assert asked["client_id"] == CLIENT
            self.answer({"action": asked["redirect_uri"], "state": asked["state"], "id_token": self.launch(asked)})

    def do_POST(self):
        """The hub changes a code into a token."""
        sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
        fields = {name: values[-1] for name, values in parse_qs(sent).items()}
        assert fields["client_secret"] == SECRET
        self.answer({"access_token": fields["code"].replace("code", "token"), "token_type": "Bearer"})

    def launch(self, asked):
        """A launch of LTI 1.3, signed; by somebody else's key, where a forger logs in."""
        issuer = f"http://{self.headers['Host']}"
        claims = {"iss": issuer, "aud": CLIENT, "nonce": asked["nonce"], "iat": time.time(), "exp": time.time() + 60}
        name = self.who.removeprefix("forger-")
        claims |= {"sub": "17", "email": f"{name}@example.org", f"{LTI}version": "1.3.0", f"{LTI}roles": []}
        claims |= {f"{LTI}message_type": "LtiResourceLinkRequest", f"{LTI}resource_link": {"id": "1"}}
        claims |= {f"{LTI}deployment_id": "1", f"{LTI}target_link_uri": asked["redirect_uri"]}
        key = FOREIGN if name != self.who else KEY
        return jwt.encode(claims, key, algorithm="RS256", headers={"kid": "1"})

    def answer(self, document):
        """Answer with JSON."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, *_):
        """Say nothing."""


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), Provider) as server:
        print(server.server_port, flush=True)
        server.serve_forever()
