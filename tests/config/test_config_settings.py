"""Settings: their sources, their precedence, and the words for every mistake."""
# ruff: noqa: E501  a table of messages reads by rows

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from config import Access, ConfigError, PasswordLogin, Settings, TokenLogin, load_settings
from config.settings import EXAMPLE

GOOD = """\
homeserver: http://localhost:8008
user_id: "@lambda:localhost"
password: "correct horse"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, text: str | bytes, name: str = "surface.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems(path: Path | None, environ: dict[str, str] | None = None, **overrides) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(path, environ or {}, overrides)
    assert str(caught.value) == "\n".join(caught.value.problems)
    assert caught.value.__context__ is None, "a traceback would show pydantic's message"
    return list(caught.value.problems)


def test_the_shortest_file_gets_every_default(folder):
    settings = load_settings(write(folder, GOOD), {})
    assert settings.homeserver == "http://localhost:8008"
    assert settings.server_name == "localhost"
    assert settings.access == Access(allow=("@*:localhost",))
    assert (settings.state_dir, settings.workspace_dir, settings.agents) == (
        folder / "state",
        folder / "agents",
        folder / "agents.yaml",
    )
    assert (settings.locale, settings.encryption, settings.room_version) == ("en", True, None)
    assert (settings.ops.host, settings.ops.port) == ("127.0.0.1", 8009)
    assert (settings.answers.placeholder_after, settings.answers.edit_every) == (1.0, 1.5)
    assert (settings.dialog_timeout, settings.shutdown_grace) == (300, 20)
    assert (settings.log.level, settings.log.format) == ("info", "auto")


def test_settings_cannot_be_changed(folder):
    settings = load_settings(write(folder, GOOD), {})
    with pytest.raises(ValidationError):
        settings.locale = "ru"


@pytest.mark.parametrize(
    ("line", "read", "expected"),
    [
        ("room_version: 12", lambda s: s.room_version, "12"),
        ('room_version: "org.example.13"', lambda s: s.room_version, "org.example.13"),
        ("homeserver: https://hs.example.org/", lambda s: s.homeserver, "https://hs.example.org"),
        ("homeserver: http://[::1]:8008", lambda s: s.homeserver, "http://[::1]:8008"),
        ("log: {level: WARNING, format: json}", lambda s: s.log.level, "warning"),
        ("ops: {port: 0}", lambda s: s.ops.port, 0),
        ("ops:", lambda s: s.ops.port, 8009),
        ("encryption: no", lambda s: s.encryption, False),
        ("access: {deny: ['@eve:*']}", lambda s: s.access.allow, ("@*:localhost",)),
        ("access: {allow: []}", lambda s: s.access.allow, ()),
        ("dialog_timeout: 1.5", lambda s: s.dialog_timeout, 1.5),
        ("state_dir: /var/lib/surface", lambda s: s.state_dir, Path("/var/lib/surface")),
        ("device_id: ABC", lambda s: s.device_id, "ABC"),
    ],
)
def test_a_good_value_is_taken(folder, line, read, expected):
    lines = [have for have in GOOD.splitlines() if have.split(":")[0] != line.split(":")[0]]
    settings = load_settings(write(folder, "\n".join([*lines, line])), {})
    assert read(settings) == expected


A_USER = "a full Matrix user id such as @lambda:example.org"
A_URL = "an http or https URL without a user, such as http://localhost:8008"
A_GLOB = "a Matrix user id that begins with @, where * and ? may stand, such as @*:example.org"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("homserver: x", "`homserver` is not a setting; did you mean `homeserver`?"),
        ("port: 1", "`port` is not a setting; did you mean `ops.port`?"),
        ("ops: {prot: 1}", "`ops.prot` is not a setting; did you mean `ops.port`?"),
        ("log: {zzz: 1}", "`log.zzz` is not a setting; allowed: log.level, log.format"),
        ("on: 1", "`on` is not a setting; allowed: homeserver, user_id, "),
        ("homeserver: ftp://hs", f'`homeserver` cannot be "ftp://hs"; allowed: {A_URL}'),
        ("homeserver: 8008", f"`homeserver` cannot be 8008; allowed: {A_URL}"),
        ("homeserver: 'http://hs:99999'", f"`homeserver` cannot be \"http://hs:99999\"; allowed: {A_URL}"),
        ("homeserver: 'http://h s'", f'`homeserver` cannot be "http://h s"; allowed: {A_URL}'),
        ("homeserver: 'http://'", f'`homeserver` cannot be "http://"; allowed: {A_URL}'),
        ("user_id: lambda", f'`user_id` cannot be "lambda"; allowed: {A_USER}'),
        ("user_id: '@lambda'", f'`user_id` cannot be "@lambda"; allowed: {A_USER}'),
        ("user_id: '@:hs'", f'`user_id` cannot be "@:hs"; allowed: {A_USER}'),
        ("user_id: {a: b}", f"`user_id` cannot be a group of keys; allowed: {A_USER}"),
        ("locale: de", '`locale` cannot be "de"; allowed: en, ru'),
        ("locale: no", "`locale` cannot be false; allowed: en, ru"),
        ("encryption: maybe", '`encryption` cannot be "maybe"; allowed: true or false'),
        ("room_version: 'a b'", '`room_version` cannot be "a b"; allowed: a room version'),
        ("ops: {port: banana}", '`ops.port` cannot be "banana"; allowed: a whole number from 0 to 65535'),
        ("ops: {port: 70000}", "`ops.port` cannot be 70000; allowed: a whole number from 0 to 65535"),
        ("ops: {port: true}", "`ops.port` cannot be true; allowed: a whole number from 0 to 65535"),
        ("ops: {host: 'a b'}", '`ops.host` cannot be "a b"; allowed: a host name or an address'),
        ("ops: 8009", "`ops` cannot be 8009; allowed: a group of keys: host, port"),
        ("dialog_timeout: 0", "`dialog_timeout` cannot be 0; allowed: a number of seconds from 1 to 86400"),
        ("dialog_timeout: .nan", "`dialog_timeout` cannot be nan; allowed: a number of seconds"),
        ("shutdown_grace: soon", '`shutdown_grace` cannot be "soon"; allowed: a number of seconds from 0'),
        ("answers: {edit_every: 0}", "`answers.edit_every` cannot be 0; allowed: a number of seconds from 0.1 to 60"),
        ("log: {level: loud}", '`log.level` cannot be "loud"; allowed: debug, info, warning, error'),
        ("log: {format: xml}", '`log.format` cannot be "xml"; allowed: auto, json, console'),
        ("access: {allow: '@a:b'}", f'`access.allow` cannot be "@a:b"; allowed: a list of: {A_GLOB}'),
        ("access: {admins: ['@a:b', bob]}", f'`access.admins` entry 2 cannot be "bob"; allowed: {A_GLOB}'),
        ("access: {deny: ['*']}", f'`access.deny` entry 1 cannot be "*"; allowed: {A_GLOB}'),
        ("state_dir: ''", '`state_dir` cannot be ""; allowed: a path'),
        ("agents: [a]", "`agents` cannot be a list; allowed: a path"),
        ("device_id: 'a b'", '`device_id` cannot be "a b"; allowed: text without spaces'),
        ("access_token: abc", "`password` and `access_token` are given together; allowed: one way to log in"),
        ("password_file: pw", "`password` and `password_file` are given together; allowed: one way to log in"),
    ],
)  # fmt: skip
def test_a_bad_value_is_named_with_file_and_key_and_what_is_allowed(folder, line, words):
    lines = [have for have in GOOD.splitlines() if have.split(":")[0] != line.split(":")[0]]
    found = problems(write(folder, "\n".join([*lines, line])))
    assert len(found) == 1, found
    assert found[0].startswith(f"surface.yaml: {words}")


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("homeserver", f"`homeserver` is missing; give {A_URL} (or set SURFACE_HOMESERVER)"),
        ("user_id", f"`user_id` is missing; give {A_USER} (or set SURFACE_USER_ID)"),
        ("password", "no way to log in is given; give one of `password`, `password_file` (or set"),
    ],
)
def test_a_missing_setting_is_named_with_the_way_out(folder, missing, words):
    lines = [line for line in GOOD.splitlines() if not line.startswith(missing)]
    (problem,) = problems(write(folder, "\n".join(lines)))
    assert problem.startswith(f"surface.yaml: {words}")


def test_every_problem_has_its_line(folder):
    found = problems(write(folder, "locale: de\nops: {port: x}\nlog: 3\nhomserver: x"))
    assert len(found) == 7
    for key in ("`locale`", "`ops.port`", "`log`", "`homserver`", "`homeserver`", "`user_id`"):
        assert any(key in problem for problem in found), key


def test_a_wrong_file_altogether_does_not_flood_the_terminal(folder):
    found = problems(write(folder, GOOD + "\n".join(f"k{n}: v" for n in range(100))))
    assert len(found) == 41
    assert found[-1] == "and 60 more problems"


def test_no_message_speaks_pydantic(folder):
    text = "locale: de\nops: {port: x, host: 3}\naccess: {allow: 3, deny: [3]}\npassword: 3\nq: 1"
    words = "\n".join(problems(write(folder, text))).lower()
    for jargon in ("pydantic", "input", "validat", "type=", "value_error", "https://errors", "str"):
        assert jargon not in words


# --- the file itself


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"- a\n- b\n", "holds a list; allowed: lines of `key: value`"),
        (b"just words", "holds a single value; allowed: lines of `key: value`"),
        (b"a: 1\na: 2\n", "line 2, column 1: `a` is given twice (first in line 1); keep one"),
        (b"ops:\n  port: 1\n  port: 2\n", "line 3, column 3: `port` is given twice"),
        (b"user_id: @a:b\n", "line 1, column 10: a value cannot begin with this character"),
        (b"a: b: c\n", "line 1, column 5: a `:` is not allowed here"),
        (b"ops:\n\tport: 1\n", "line 2, column 1: a tab cannot be used here; indent with spaces"),
        (b"a: [1, 2\n", "line 2, column 1: a `,` or a closing bracket is missing"),
        (b"a: 'x\n", "line 2, column 1: a quote is opened and never closed"),
        (b"password\nx: y\n", "line 2, column 2: a `:"),
        (b"a: 1\n---\nb: 2\n", "line 2, column 1: only one document is allowed"),
        (b"a: &x 1\nb: *x\n", "line 1, column 4: anchors and aliases are not allowed"),
        (b"a: *x\n", "line 1, column 4: anchors and aliases are not allowed"),
        (b"a: !!python/object:os.system x\n", "line 1, column 4: tags are not allowed"),
        (b"a: !x!y z\n", "line 1, column 4: tags are not allowed"),
        (b"? [a]\n: b\n", "line 1, column 3: a key must be a single word"),
        (b"a: " + b"[" * 5000, "line 1, column 24: nested too deeply; allowed: 20 levels"),
        (b"a: " + b"9" * 5000, "line 1, column 4: this number is too long"),
        (b'a: "\\ud800"\n', "line 1, column 4: half of a surrogate pair"),
        (b"a: x\x01\n", "line 1: a control character is not allowed; remove it"),
        (b"a: b\0\n", "is not text: it contains a NUL byte"),
        (b"a: b\nc: \xff\n", "line 2: is not UTF-8 text; save the file as UTF-8"),
        ("a: b".encode("utf-16"), "is not "),
        (b"#" * 1_000_001, "is too large; allowed: up to 1,000,000 bytes"),
    ],
)
def test_a_file_that_is_not_yaml_is_refused_with_the_place(folder, text, words):
    (problem,) = problems(write(folder, text))
    assert problem.startswith(f"surface.yaml: {words}"), problem


def test_a_missing_file_names_the_example_to_copy(folder):
    (problem,) = problems(folder / "surface.yaml")
    assert problem == f"surface.yaml: no such file; copy {EXAMPLE} there and edit it"


def test_a_directory_is_no_file(folder):
    (folder / "surface.yaml").mkdir()
    (problem,) = problems(folder / "surface.yaml")
    assert problem.startswith("surface.yaml: is a directory, not a file")


def test_a_path_with_a_nul_is_refused(folder):
    (problem,) = problems(Path("sur\0face.yaml"))
    assert problem.endswith("cannot be read (not a usable path)")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_says_so(folder):
    path = write(folder, GOOD)
    path.chmod(0)
    (problem,) = problems(path)
    assert problem.startswith("surface.yaml: may not be read")


def test_a_byte_order_mark_is_ignored(folder):
    assert load_settings(write(folder, b"\xef\xbb\xbf" + GOOD.encode()), {}).locale == "en"


# --- the environment


def test_the_environment_is_enough(folder):
    settings = load_settings(
        None,
        {
            "SURFACE_HOMESERVER": "https://hs.example.org",
            "SURFACE_USER_ID": "@bot:example.org",
            "SURFACE_PASSWORD": "correct horse",
            "SURFACE_OPS__PORT": "9000",
            "SURFACE_ENCRYPTION": "false",
            "SURFACE_ANSWERS__EDIT_EVERY": "2.5",
        },
    )
    assert (settings.ops.port, settings.encryption) == (9000, False)
    assert settings.answers.edit_every == 2.5
    assert settings.access.allow == ("@*:example.org",)
    assert settings.state_dir == folder / "state"


def test_the_environment_wins_over_the_file_key_by_key(folder):
    path = write(folder, GOOD + "ops: {host: 0.0.0.0, port: 1}\nlocale: ru\n")
    settings = load_settings(path, {"SURFACE_OPS__PORT": "2", "SURFACE_USER_ID": "@b:other"})
    assert (settings.ops.host, settings.ops.port, settings.locale) == ("0.0.0.0", 2, "ru")
    assert settings.access.allow == ("@*:other",)


def test_options_win_over_the_environment(folder):
    path = write(folder, GOOD)
    settings = load_settings(
        path,
        {"SURFACE_LOCALE": "ru", "SURFACE_OPS__PORT": "2"},
        {"ops": {"port": 3}, "locale": None, "state_dir": Path("here")},
    )
    assert (settings.ops.port, settings.locale) == (3, "ru")
    assert settings.state_dir == folder / "here"


@pytest.mark.parametrize("text", ['["@a:hs", "@b:hs"]', "@a:hs,@b:hs", " @a:hs , @b:hs, "])
def test_a_list_comes_as_json_or_with_commas(folder, text):
    settings = load_settings(write(folder, GOOD), {"SURFACE_ACCESS__ALLOW": text})
    assert settings.access.allow == ("@a:hs", "@b:hs")


def test_an_empty_variable_is_not_set(folder):
    assert load_settings(write(folder, GOOD), {"SURFACE_HOMESERVER": ""}).homeserver


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SURFACE_HOMSERVER", "x", "is not a setting; did you mean `SURFACE_HOMESERVER`?"),
        ("SURFACE_OPS_PORT", "1", "is not a setting; did you mean `SURFACE_OPS__PORT`?"),
        ("SURFACE_OPS", "{}", "is not a setting; allowed: SURFACE_OPS__HOST, SURFACE_OPS__PORT"),
        ("SURFACE_OPS__PORT", "x", '`ops.port` cannot be "x"; allowed: a whole number from 0'),
        ("SURFACE_ACCESS__ALLOW", "[@a", 'is not a JSON list; allowed: ["a", "b"] or a,b'),
        ("SURFACE_ACCESS__ALLOW", "[" * 100_000, "is not a JSON list; allowed: "),
        ("SURFACE_ACCESS__ALLOW", "@a:b,c", '`access.allow` entry 2 cannot be "c"; allowed: '),
    ],
)
def test_a_bad_variable_is_named(folder, name, value, words):
    (problem,) = problems(write(folder, GOOD), {name: value})
    assert problem.startswith(f"{name}: {words}"), problem


def test_variables_of_others_are_left_alone(folder):
    others = {
        "SURFACE_CONFIG": "surface.yaml",
        "SURFACE_SERVICE_HOST": "10.0.0.1",
        "SURFACE_SERVICE_PORT_HTTP": "80",
        "SURFACE_PORT": "tcp://10.0.0.1:8009",
        "SURFACE_PORT_8009_TCP_ADDR": "10.0.0.1",
        "SURFACE_OPS_PORT": "tcp://10.0.0.1:8009",
        "HOMESERVER": "x",
    }
    assert load_settings(write(folder, GOOD), others).ops.port == 8009


def test_a_relative_path_counts_from_where_it_is_written(folder):
    (folder / "etc").mkdir()
    path = write(folder / "etc", GOOD + "state_dir: ../state\nagents: a.yaml\n")
    settings = load_settings(path, {"SURFACE_AGENTS": "b.yaml"})
    assert settings.state_dir == folder / "etc" / ".." / "state"
    assert settings.workspace_dir == folder / "etc" / "agents"
    assert settings.agents == folder / "b.yaml"


# --- secrets

SECRET = "hunter2-swordfish"
NO_LOGIN = "\n".join(GOOD.splitlines()[:2]) + "\n"


def test_a_password_comes_from_a_file_beside_the_settings(folder):
    (folder / "etc").mkdir()
    write(folder / "etc", f"\n {SECRET}\n", "pw")
    settings = load_settings(write(folder / "etc", NO_LOGIN + "password_file: ./pw\n"), {})
    assert isinstance(settings.login, PasswordLogin)
    assert settings.login.password.get_secret_value() == SECRET
    assert settings.password_file is None


def test_a_token_comes_from_a_file_named_by_a_variable(folder):
    write(folder, SECRET, "token")
    path = write(folder, NO_LOGIN + "device_id: DEV\n")
    settings = load_settings(path, {"SURFACE_ACCESS_TOKEN_FILE": "token"})
    assert isinstance(settings.login, TokenLogin)
    assert settings.login.access_token.get_secret_value() == SECRET
    assert settings.login.device_id == "DEV"


def test_the_order_is_variable_then_secret_file_then_yaml(folder):
    write(folder, "from the secret file", "pw")
    path = write(folder, GOOD)
    both = {"SURFACE_PASSWORD": "from the variable", "SURFACE_PASSWORD_FILE": "pw"}

    def password(environ):
        return load_settings(path, environ).password.get_secret_value()

    assert password(both) == "from the variable"
    assert password({"SURFACE_PASSWORD_FILE": "pw"}) == "from the secret file"
    assert password({}) == "correct horse"


KEY = "EsTc LW2K PGiF wKEA 3As5 g5c4 BXwk qeeJ ZJV8 Q9fu gUMN UE4d"


@pytest.mark.parametrize("secret", ["recovery_key", "pickle_key"])
def test_a_key_comes_from_the_strongest_source(folder, secret):
    write(folder, f"\n{KEY}\n", "key")
    path, named = write(folder, f'{GOOD}{secret}: "{KEY[::-1]}"\n'), f"SURFACE_{secret.upper()}"

    def key(environ):
        settings = load_settings(path, environ)
        assert getattr(settings, f"{secret}_file") is None
        assert KEY not in repr(settings)
        return getattr(settings, secret).get_secret_value()

    assert key({}) == KEY[::-1]
    assert key({f"{named}_FILE": "key"}) == KEY
    assert key({named: KEY[:50], f"{named}_FILE": "key"}) == KEY[:50]
    write(folder, f"{GOOD}{secret}_file: key\n")
    assert key({}) == KEY
    assert key({named: KEY[:50]}) == KEY[:50]
    write(folder, f"{GOOD}{secret}_file: key\n{secret}: '{KEY}'\n")
    (problem,) = problems(path)
    assert f"`{secret}` and `{secret}_file` are given together" in problem


@pytest.mark.parametrize("text", ["0OIl" * 12, "EsTc", "''"])
def test_what_cannot_be_a_recovery_key_is_refused_and_not_shown(folder, text):
    (problem,) = problems(write(folder, f"{GOOD}recovery_key: {text}\n"))
    assert "twelve groups of four" in problem
    assert text == "''" or text not in problem


def test_the_way_to_log_in_is_replaced_as_a_whole(folder):
    environ = {"SURFACE_ACCESS_TOKEN": "t", "SURFACE_DEVICE_ID": "D"}
    settings = load_settings(write(folder, GOOD), environ)
    assert settings.password is None
    assert isinstance(settings.login, TokenLogin)


def test_two_ways_in_the_environment_are_refused(folder):
    found = problems(
        write(folder, GOOD),
        {"SURFACE_ACCESS_TOKEN": "t", "SURFACE_PASSWORD": "p", "SURFACE_DEVICE_ID": "D"},
    )
    assert "`password` and `access_token` are given together" in found[0]


def test_a_token_needs_its_device(folder):
    (problem,) = problems(write(folder, NO_LOGIN + "access_token: abc\n"))
    assert problem == (
        "surface.yaml: `access_token` needs `device_id`: give the device the token belongs to"
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        (b" \n", "is empty; write the secret"),
        (b"\xff", "is not UTF-8 text"),
        (b"a\0b", "contains a NUL byte"),
        (b"x" * 1_000_001, "is too large"),
    ],
)
def test_a_secret_file_that_cannot_be_used_is_named(folder, content, words):
    if content is not None:
        write(folder, content, "pw")
    (problem,) = problems(write(folder, NO_LOGIN), {"SURFACE_PASSWORD_FILE": "pw"})
    assert problem.startswith("SURFACE_PASSWORD_FILE: `password_file`: pw: ")
    assert words in problem


@pytest.mark.parametrize(
    "text",
    [
        f"{NO_LOGIN}pasword: {SECRET}",
        f"{NO_LOGIN}password:{SECRET}",
        f"{NO_LOGIN}{{password:{SECRET}: x}}",
        f"password:{SECRET}",
        f"password:{SECRET}: x",
        f"password: {SECRET}\npassword: {SECRET}",
        f"password: [{SECRET}]",
        f"password: {{a: {SECRET}}}",
        f"password: '{SECRET}",
        f"password: *{SECRET}",
        f"password: &{SECRET} x",
        f"password: !{SECRET} x",
        f"password: !{SECRET}!x y",
        f"password: @{SECRET}",
        f"password: %{SECRET}",
        f"password: {SECRET}: x",
        f'password: "\\q{SECRET}"',
        f"{NO_LOGIN}access_token: '{SECRET} {SECRET}'\ndevice_id: D",
        f"homeserver: http://user:{SECRET}@hs",
        f"homeserver: http://user:a/{SECRET}@hs",
        f"homeserver: user:{SECRET}@hs",
        f"{NO_LOGIN}password: {SECRET}\naccess_token: {SECRET}\nlocale: de",
    ],
)
def test_a_secret_is_in_no_message(folder, text):
    for problem in problems(write(folder, text)):
        assert "hunter2" not in problem
        assert "swordfish" not in problem


def test_a_numeric_secret_is_refused_without_showing_it(folder):
    (problem,) = problems(write(folder, NO_LOGIN + "password: 90210"))
    assert problem == (
        "surface.yaml: `password` does not fit; allowed: text that is not empty, in quotes"
    )


def test_a_secret_is_in_no_repr(folder):
    settings = load_settings(write(folder, NO_LOGIN + f"password: {SECRET}"), {})
    for shown in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.login)):
        assert SECRET not in shown


# --- models built without files


def test_settings_can_be_built_directly():
    settings = Settings(homeserver="http://hs", user_id="@bot:hs:8448", password="p")
    assert settings.access.permits("@anyone:hs:8448")
    assert not settings.access.permits("@anyone:elsewhere")


@pytest.mark.parametrize(
    "login", [{}, {"password": "p", "access_token": "t"}, {"password_file": "p"}]
)
def test_settings_built_directly_need_one_way_to_log_in(login):
    with pytest.raises(ValidationError):
        Settings(homeserver="http://hs", user_id="@bot:hs", **login)


# --- access


@pytest.mark.parametrize(
    ("allow", "deny", "mxid", "permitted"),
    [
        (["@*:hs"], [], "@ann:hs", True),
        (["@*:hs"], [], "@ann:hs.evil", False),
        (["@*:hs"], [], "@ann:evil.hs", False),
        (["@*:*.hs"], [], "@ann:a.hs", True),
        (["@*"], [], "@ann:any", True),
        (["@a?n:hs"], [], "@ann:hs", True),
        (["@a?n:hs"], [], "@an:hs", False),
        (["@ann:hs"], [], "@Ann:hs", False),
        (["@*:[::1]"], [], "@ann:[::1]", True),
        (["@*:[::1]"], [], "@ann::", False),
        (["@a.n:hs"], [], "@ann:hs", False),
        (["@*:hs"], [], "@ann:hs\n", False),
        (["@*:hs"], ["@eve:*"], "@eve:hs", False),
        (["@eve:hs"], ["@eve:hs"], "@eve:hs", False),
        ([], [], "@ann:hs", False),
    ],
)
def test_access(allow, deny, mxid, permitted):
    assert Access(allow=tuple(allow), deny=tuple(deny)).permits(mxid) is permitted


def test_an_admin_must_be_permitted():
    access = Access(allow=("@*:hs",), deny=("@bob:hs",), admins=("@ann:hs", "@bob:hs", "@x:far"))
    assert access.is_admin("@ann:hs")
    assert not access.is_admin("@bob:hs")
    assert not access.is_admin("@x:far")
    assert not access.is_admin("@other:hs")


def test_a_pattern_of_many_stars_is_quick():
    assert not Access(allow=("@" + "*" * 200 + "b:hs",)).permits("@" + "a" * 200 + ":hs")


TOKEN = "sixteen-letters!"


@pytest.mark.parametrize(
    ("ops", "words"),
    [
        ("inspector: true", "`inspector` needs `inspector_token` or `inspector_token_file`"),
        (f"inspector: true, inspector_token: {TOKEN[1:]}", "`ops.inspector_token` does not fit"),
        (
            f"inspector: true, inspector_token: {TOKEN}, host: 0.0.0.0",
            "served to this machine only",
        ),
        (f"inspector: true, inspector_token: {TOKEN}, host: '::'", "served to this machine only"),
        (f"inspector: true, inspector_token: {TOKEN}, host: hs", "served to this machine only"),
        ("inspector: true, inspector_token_file: nowhere", "nowhere: no such file"),
        (f"inspector_token: {TOKEN}, inspector_token_file: there", "are given together; keep one"),
    ],
)
def test_an_inspector_that_others_could_see_is_refused(folder, ops, words):
    (folder / "there").write_text(TOKEN)
    (said,) = problems(write(folder, f"{GOOD}ops: {{{ops}}}\n"))
    assert words in said
    assert TOKEN[1:] not in said


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "'::1'", "localhost"])
def test_the_inspectors_token_comes_from_a_file_too(folder, host):
    (folder / "there").write_text(f" {TOKEN}\n")
    ops = f"host: {host}, inspector: true, inspector_token_file: there"
    found = load_settings(write(folder, f"{GOOD}ops: {{{ops}}}\n"), {}).ops
    assert found.inspector_token.get_secret_value() == TOKEN
    assert found.inspector_token_file is None
