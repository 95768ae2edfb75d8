"""Which certificates `layerlab.bases.certificates` takes for the machine's own."""

import subprocess
from pathlib import Path

import pytest

from layerlab.bases.certificates import own_certificates


def new_certificate(folder: Path, name: str) -> str:
    """A real self-signed certificate, made by openssl."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"]
    subprocess.run([*command, *files, "-subj", f"/CN={name}"], check=True, capture_output=True)
    return (folder / f"{name}.pem").read_text()


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Three certificates: one that everybody trusts, and two of this machine's own."""
    folder = tmp_path_factory.mktemp("certificates")
    return {name: new_certificate(folder, name) for name in ("public", "proxy", "company")}


@pytest.fixture
def packaged(tmp_path: Path, pems: dict[str, str]) -> Path:
    """The files of a ca-certificates package that holds the public one."""
    folder = tmp_path / "ca-certificates" / "mozilla"
    folder.mkdir(parents=True)
    (folder / "Public.crt").write_text(pems["public"])
    return folder.parent


class TestOwnCertificates:
    def test_those_that_the_package_lacks(self, tmp_path: Path, packaged: Path, pems: dict[str, str]) -> None:
        """What the bundle holds beyond the package's files is the machine's own, and nothing else is."""
        bundle = tmp_path / "bundle.crt"
        bundle.write_text(pems["proxy"] + pems["public"] + pems["company"])

        own = own_certificates(bundle, packaged)

        assert set(own.values()) == {pems["proxy"], pems["company"]}
        assert all(name.endswith(".crt") for name in own)  # update-ca-certificates reads no other

    def test_certificates_are_compared_not_texts(self, tmp_path: Path, packaged: Path, pems: dict[str, str]) -> None:
        """A packaged certificate with other line breaks and a comment before it is still the package's."""
        lines = pems["public"].splitlines()
        folded = "\n".join(["# Public Root", lines[0], "".join(lines[1:-1]), lines[-1], ""])
        bundle = tmp_path / "bundle.crt"
        bundle.write_text(folded + pems["proxy"])

        assert list(own_certificates(bundle, packaged).values()) == [pems["proxy"]]

    def test_the_bundle_copied_into_the_local_folder(
        self, tmp_path: Path, packaged: Path, pems: dict[str, str]
    ) -> None:
        """Certificates that are in the bundle twice, since somebody copied all of them, count once."""
        bundle = tmp_path / "bundle.crt"
        bundle.write_text((pems["public"] + pems["proxy"]) * 2)

        assert list(own_certificates(bundle, packaged).values()) == [pems["proxy"]]

    def test_same_certificates_same_names(self, tmp_path: Path, packaged: Path, pems: dict[str, str]) -> None:
        """The order in the bundle does not matter: the same certificates make the same files."""
        one, other = tmp_path / "one.crt", tmp_path / "other.crt"
        one.write_text(pems["proxy"] + pems["company"])
        other.write_text(pems["company"] + pems["public"] + pems["proxy"])

        assert list(own_certificates(one, packaged).items()) == list(own_certificates(other, packaged).items())

    def test_names_tell_the_fingerprint(self, tmp_path: Path, packaged: Path, pems: dict[str, str]) -> None:
        """A file's name has the beginning of the SHA-256 fingerprint that openssl gives."""
        bundle = tmp_path / "bundle.crt"
        bundle.write_text(pems["proxy"])
        shown = subprocess.run(
            ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", bundle],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        fingerprint = shown.partition("=")[2].strip().replace(":", "").lower()

        assert list(own_certificates(bundle, packaged)) == [f"layerlab-{fingerprint[:16]}.crt"]

    @pytest.mark.parametrize(
        "damage",
        ["-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\nMII"],
    )
    def test_damaged_ones_are_passed_over(
        self, tmp_path: Path, packaged: Path, pems: dict[str, str], damage: str
    ) -> None:
        """A damaged entry of the bundle does not keep the others from being found."""
        bundle = tmp_path / "bundle.crt"
        bundle.write_text(pems["proxy"] + damage)

        assert list(own_certificates(bundle, packaged).values()) == [pems["proxy"]]

    def test_without_the_package(self, tmp_path: Path, pems: dict[str, str]) -> None:
        """Where the package's files are not there to compare with, nothing is called the machine's own."""
        bundle = tmp_path / "bundle.crt"
        bundle.write_text(pems["proxy"])

        assert own_certificates(bundle, tmp_path / "nothing") == {}

    def test_without_a_bundle(self, tmp_path: Path, packaged: Path) -> None:
        """A machine that trusts nobody has no certificates of its own."""
        assert own_certificates(tmp_path / "nothing.crt", packaged) == {}
