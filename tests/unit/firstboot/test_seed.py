"""The seed says what it must, keeps what the user said, and never holds a password."""

from __future__ import annotations

import email
import email.policy
import io
import json
import time
from email.message import EmailMessage
from typing import Any

import pycdlib
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from kiln.firstboot import seed
from kiln.firstboot.hostname import check_hostname, hostname_from
from kiln.firstboot.passwords import hash_password
from kiln.firstboot.userdata import FirstBoot
from kiln.framework.errors import InputError

HASH = hash_password("s3cretPassw0rd", generated=True)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample ann@example"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


def told(**facts: Any) -> FirstBoot:
    return FirstBoot(**({"hostname": "web", "instance_id": "kiln-1", "password_hash": HASH} | facts))


def read_back(image: bytes, how: str) -> dict[str, bytes]:
    """The files of an ISO by their Rock Ridge or Joliet names."""
    iso = pycdlib.PyCdlib()
    iso.open_fp(io.BytesIO(image))
    found = {}
    for child in iso.list_children(**{f"{how}_path": "/"}):
        if child.is_file():
            encoded = child.rock_ridge.name() if how == "rr" else child.file_identifier().decode("utf-16_be").encode()
            out = io.BytesIO()
            iso.get_file_from_iso_fp(out, **{f"{how}_path": f"/{encoded.decode()}"})
            found[encoded.decode()] = out.getvalue()
    iso.close()
    return found


def config(data: bytes) -> dict[str, Any]:
    assert data.startswith(b"#cloud-config\n")
    loaded: dict[str, Any] = yaml.safe_load(data)
    return loaded


def parts(data: bytes) -> list[bytes]:
    """The leaf parts of a MIME message, as cloud-init walks them."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    leaves = [part for part in message.walk() if not part.is_multipart()]
    assert all(isinstance(part, EmailMessage) for part in leaves)
    return [bytes(part.get_payload(decode=True)) for part in leaves]


def merged(told: FirstBoot) -> dict[str, Any]:
    """What cloud-init makes of the parts, by the two documented ways to merge that they use."""
    result: dict[str, Any] = {}
    for data in parts(seed.files(told)["user-data"]):
        if not data.startswith(b"#cloud-config"):
            continue
        part = config(data)
        how = part.pop("merge_how", None)
        if how is None:
            result |= part
        else:
            assert how[0] == {"name": "dict", "settings": ["no_replace", "recurse_list"]}
            assert how[1] == {"name": "list", "settings": ["append"]}
            result = _added(result, part)
    return result


def _added(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: _added(old[key], value) if key in old else value for key, value in new.items()}
    return [*old, *new] if isinstance(old, list) and isinstance(new, list) else old


@pytest.mark.parametrize("how", ["rr", "joliet"])
def test_the_seed_is_a_cidata_volume_with_all_files(how: str) -> None:
    facts = told(network_config="version: 2\n", user_data="#!/bin/sh\ntrue\n")
    image = seed.build(facts)
    assert image[32768 + 40 : 32768 + 72].rstrip() == b"CIDATA"
    assert read_back(image, how) == seed.files(facts)
    assert set(seed.files(facts)) == {"user-data", "meta-data", "vendor-data", "network-config"}


@given(
    st.dictionaries(
        st.sampled_from(["user-data", "meta-data", "vendor-data", "network-config"]), st.binary(max_size=9000)
    )
)
def test_any_content_reads_back_as_it_was(content: dict[str, bytes]) -> None:
    assert read_back(seed.iso(content), "rr") == content


def test_the_same_content_is_the_same_bytes_at_any_time_and_place(monkeypatch: pytest.MonkeyPatch) -> None:
    first = seed.build(told())
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        assert seed.build(told()) == first
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


def test_the_size_is_whole_sectors() -> None:
    assert len(seed.build(told())) % 2048 == 0


def test_files_can_be_read_by_root_alone() -> None:
    iso = pycdlib.PyCdlib()
    iso.open_fp(io.BytesIO(seed.build(told())))
    modes = [iso.file_mode(rr_path=f"/{name}") for name in seed.files(told())]
    iso.close()
    assert {(mode or 0) & 0o777 for mode in modes} == {0o400}


def test_without_own_data_it_is_a_plain_cloud_config() -> None:
    data = config(seed.files(told(authorized_keys=(KEY,)))["user-data"])
    assert data["hostname"] == "web"
    assert data["preserve_hostname"] is False
    assert data["chpasswd"] == {"expire": False, "users": [{"name": "root", "password": HASH, "type": "hash"}]}
    assert data["ssh_authorized_keys"] == [KEY]
    assert data["disable_root"] is False
    assert "fqdn" not in data
    assert "user" not in data


def test_a_name_with_a_domain_is_the_fqdn() -> None:
    facts = told(hostname="web.example.com")
    data = config(seed.files(facts)["user-data"])
    assert (data["hostname"], data["fqdn"]) == ("web", "web.example.com")
    assert json.loads(seed.files(facts)["meta-data"])["local-hostname"] == "web.example.com"


def test_another_user_is_made_with_sudo_and_gets_password_and_keys() -> None:
    data = config(seed.files(told(user="ann", authorized_keys=(KEY,)))["user-data"])
    assert data["user"]["name"] == "ann"
    assert data["user"]["sudo"] == ["ALL=(ALL) NOPASSWD:ALL"]
    assert data["user"]["lock_passwd"] is False
    assert data["chpasswd"]["users"][0]["name"] == "ann"
    assert "disable_root" not in data


@pytest.mark.requirement("DC-47")
def test_root_authorized_keys_of_the_metadata_may_log_in_as_root() -> None:
    data = config(seed.files(told(user="ann", metadata={"root_authorized_keys": f"{KEY}\n{KEY}2\n"}))["user-data"])
    assert data["ssh_authorized_keys"] == [KEY, f"{KEY}2"]
    assert data["disable_root"] is False


def test_own_cloud_config_keeps_its_keys_and_kilns_settings_win() -> None:
    own = """#cloud-config
hostname: theirs
disable_root: true
packages: [nginx]
runcmd: [[ls]]
ssh_authorized_keys: [ssh-ed25519 THEIRS]
users: [default, {name: bob}]
chpasswd:
  users: [{name: bob, password: bobs, type: text}, {name: root, password: theirs, type: text}]
"""
    result = merged(told(user_data=own, authorized_keys=(KEY,)))
    assert result["hostname"] == "web"
    assert result["disable_root"] is False
    assert result["packages"] == ["nginx"]
    assert result["runcmd"] == [["ls"]]
    assert result["users"] == ["default", {"name": "bob"}]
    assert result["ssh_authorized_keys"] == ["ssh-ed25519 THEIRS", KEY]
    assert [user["name"] for user in result["chpasswd"]["users"]] == ["bob", "root", "root"]
    assert result["chpasswd"]["users"][-1]["password"] == HASH
    assert result["chpasswd"]["expire"] is False


OWN = [
    "#!/bin/sh\necho ' \t trailing \r\n\n",
    "## template: jinja\n#cloud-config\nfqdn: {{ v1.local_hostname }}\n",
    "#include\nhttps://example.org/x\n",
    "#cloud-boothook\ntrue",
    "#cloud-config-archive\n- type: text/cloud-config\n  content: '{}'\n",
    "#cloud-config\n# ě š č\n{}\n",
]


@pytest.mark.parametrize("own", OWN)
def test_own_data_is_kept_byte_for_byte_and_comes_first(own: str) -> None:
    assert parts(seed.files(told(user_data=own))["user-data"])[0] == own.encode()


def test_the_kind_of_own_data_is_left_to_cloud_init() -> None:
    message = email.message_from_bytes(seed.files(told(user_data=OWN[0]))["user-data"])
    assert [part.get_content_type() for part in message.walk()][1] == "text/plain"


def test_an_own_mime_message_is_kept_with_all_its_parts() -> None:
    own = (
        'Content-Type: multipart/mixed; boundary="theirs"\nMIME-Version: 1.0\n\n--theirs\n'
        "Content-Type: text/x-shellscript\n\n#!/bin/sh\ntrue\n--theirs\nContent-Type: text/cloud-config\n"
        "Merge-Type: dict(replace)+list(append)\n\n#cloud-config\npackages: [a]\n--theirs--\n"
    )
    data = seed.files(told(user_data=own))["user-data"]
    assert own.encode() in data
    assert [part[:13] for part in parts(data)][:2] == [b"#!/bin/sh\ntru", b"#cloud-config"]
    assert merged(told(user_data=own))["hostname"] == "web"
    assert merged(told(user_data=own))["packages"] == ["a"]


@given(TEXT)
def test_any_script_survives(text: str) -> None:
    own = "#!/bin/sh\n" + text
    if "mime-version:" not in own[:4096].lower():
        assert parts(seed.files(told(user_data=own))["user-data"])[0] == own.encode()


@pytest.mark.parametrize("own", ["hello", "cloud-config\n", "{}", "# comment\n#cloud-config"])
def test_data_that_cloud_init_would_ignore_is_refused(own: str) -> None:
    with pytest.raises(InputError) as caught:
        seed.build(told(user_data=own))
    assert caught.value.path == "firstBoot.userData"


@pytest.mark.parametrize("own", ["", "  \n"])
def test_blank_data_is_none(own: str) -> None:
    assert seed.files(told(user_data=own)) == seed.files(told())


@pytest.mark.requirement("DC-46", "DC-49", "DC-60")
def test_metadata_reaches_the_guest_under_plain_and_namespaced_keys() -> None:
    given_keys = {"role": "db", "org.erigones:zabbix_ip": "10.0.0.1", "gitlab:external_url": "https://x/?a=b&c='\"\n"}
    content = json.loads(seed.files(told(metadata=given_keys))["meta-data"])
    assert content["metadata"] == given_keys
    assert (content["instance-id"], content["local-hostname"]) == ("kiln-1", "web")


def test_metadata_cannot_change_where_cloud_init_looks() -> None:
    content = json.loads(seed.files(told(metadata={"seedfrom": "http://evil/", "instance-id": "x"}))["meta-data"])
    assert "seedfrom" not in content
    assert content["instance-id"] == "kiln-1"


@pytest.mark.parametrize("key", ["", " ", "a b", ":a", "a:", "a\n", "ě", "$(x)"])
def test_a_key_that_cannot_be_one_is_refused(key: str) -> None:
    with pytest.raises(InputError) as caught:
        seed.build(told(metadata={key: "x"}))
    assert caught.value.path.startswith("firstBoot.metadata[")


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}(:[a-z]{1,8})?", fullmatch=True), TEXT, max_size=5))
def test_any_metadata_value_round_trips(metadata: dict[str, str]) -> None:
    files = seed.files(told(metadata=metadata))
    assert json.loads(files["meta-data"]).get("metadata", {}) == metadata
    assert yaml.safe_load(files["meta-data"]).get("metadata", {}) == metadata


def test_the_plain_password_is_nowhere_in_the_seed() -> None:
    assert b"s3cretPassw0rd" not in seed.build(told(user_data=OWN[0]))


def test_the_vendor_script_waits_in_the_background_and_names_the_instance() -> None:
    script = seed.files(told())["vendor-data"].decode()
    assert script.startswith("#!/bin/sh\n")
    assert script.rstrip().endswith("&")
    assert "cloud-init status --wait" in script
    assert "kiln-first-boot kiln-1 %s" in script


@pytest.mark.parametrize("instance", ["", "a b", "x'; reboot; '", "a\n"])
def test_an_instance_id_that_could_act_in_a_script_is_refused(instance: str) -> None:
    with pytest.raises(ValueError, match="instance id"):
        seed.build(told(instance_id=instance))


@pytest.mark.parametrize("name", ["web", "w", "web-1.example.com", "1a", "a" * 63])
def test_host_names_are_accepted(name: str) -> None:
    assert check_hostname(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-web",
        "web-",
        "web_1",
        "web.",
        ".web",
        "a..b",
        "a" * 64,
        "web one",
        "wěb",
        "1.2.3.4",
        "a." * 127 + "ab",
        "web\n",
    ],
)
def test_what_is_no_host_name_is_refused(name: str) -> None:
    with pytest.raises(InputError) as caught:
        check_hostname(name)
    assert caught.value.path == "firstBoot.hostname"
    assert "RFC 1123" in str(caught.value)


@given(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}", fullmatch=True))
def test_any_resource_name_makes_a_host_name(name: str) -> None:
    made = hostname_from(name)
    assert check_hostname(made) == made


@pytest.mark.parametrize(
    ("name", "made"), [("web_1", "web-1"), ("web", "web"), ("a.b", "a.b"), ("7", "kiln-7"), ("_", "kiln")]
)
def test_host_names_stay_close_to_the_resource_name(name: str, made: str) -> None:
    assert hostname_from(name) == made
