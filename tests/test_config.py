"""The configuration: where it comes from, what it accepts, and what it says when it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, strategies as st

from respfix.config import SETTINGS, Address, Config, ConfigError, Given, Route, Timeouts, UnixSocket, build
from respfix.config.changes import KEPT, changed, kept
from respfix.config.rendering import render
from respfix.config.settings import GLOBAL, ROUTE_SETTINGS
from respfix.config.sources import VARIABLES, from_environment, from_file, gather
from respfix.stream import Limits
from respfix.stream.defects import DEFECTS


def load(file: Path | None, environ: Mapping[str, str], flags: Mapping[str, Given] | None = None) -> Config:
    """The configuration that these three give together, or a `ConfigError`."""
    return build(gather(file, environ, flags or {}))


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """A file to write a configuration to."""
    return tmp_path / "config.yaml"


def from_text(path: Path, text: str) -> Config:
    """The configuration that this text gives as a file."""
    path.write_text(text, encoding="utf-8")
    return load(path, {})


def complaint(path: Path, text: str) -> str:
    """What is said about this text, without the directory of the file."""
    with pytest.raises(ConfigError) as error:
        from_text(path, text)
    return str(error.value).removeprefix(f"{path.parent}/")


def test_nothing_given_gives_the_documented_defaults() -> None:
    """Without any configuration respfix listens on loopback and repairs a server on loopback."""
    config = load(None, {})

    assert Config() == config
    assert (Address("127.0.0.1", 8081),) == config.listen
    assert config.upstream == "http://127.0.0.1:8080"


def test_the_example_file_is_the_defaults(root: Path) -> None:
    """Whoever copies the example as it is gets what they had without it."""
    example = load(root / "config.example.yaml", {})

    assert Config() == example


def test_the_example_file_mentions_every_setting(root: Path) -> None:
    """A setting that is not in the example does not exist for those who read it; each has its reason above it."""
    path = root / "config.example.yaml"

    assert SETTINGS.keys() == from_file(path).keys()
    for paragraph in path.read_text().split("\n\n"):
        assert paragraph.startswith("#")


def test_flags_beat_variables_beat_the_file_beat_the_defaults(config_file: Path) -> None:
    """The closer to the command, the stronger; what a stronger source does not name keeps its value."""
    config_file.write_text("listen: 127.0.0.1:1\ndialect: codex\nrepair: observe\n")
    environ = {"RESPFIX_LISTEN": "127.0.0.1:2", "RESPFIX_DIALECT": "default"}

    config = load(config_file, environ, {"listen": Given("127.0.0.1:3", "--listen")})

    assert Config(listen=(Address("127.0.0.1", 3),), dialect="default", repair="observe") == config


def test_the_environment_can_name_the_file(config_file: Path) -> None:
    """A container sets RESPFIX_CONFIG instead of changing its command."""
    config_file.write_text("repair: observe")

    assert load(None, {"RESPFIX_CONFIG": str(config_file)}).repair == "observe"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on", "on"),
        ("off", "off"),
        ("observe", "observe"),
        ("ON", "on"),
        ("'off'", "off"),
        ("true", "on"),
        ("False", "off"),
        ("yes", "on"),
        ("no", "off"),
    ],
)
def test_on_and_off_are_words_although_yaml_takes_them_for_booleans(
    config_file: Path, text: str, expected: str
) -> None:
    """`repair: on` means the word, however it is spelled and whatever wrote the file."""
    assert expected == from_text(config_file, f"repair: {text}").repair
    assert expected == load(None, {"RESPFIX_REPAIR": text.strip("'")}).repair


def test_sections_keep_the_defaults_of_what_they_do_not_name(config_file: Path) -> None:
    """Naming one timeout leaves the others."""
    config = from_text(config_file, "timeouts:\n  idle: 5\nlimits:\n  items: 7\n")

    assert Timeouts(idle=5.0) == config.timeouts
    assert Limits(items=7) == config.limits


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "timeouts:\n", "limits:\n  # items: 3\nhosts:\n"])
def test_what_is_commented_out_is_not_given(config_file: Path, text: str) -> None:
    """An empty file, section or list is no error: everything in it was commented out."""
    assert Config() == from_text(config_file, text)


@pytest.mark.parametrize("text", ["[b.lan, A.lan, b.lan]", "b.lan, a.lan", "\n  - b.lan\n  - a.lan"])
def test_lists_are_lists_or_words_with_commas(config_file: Path, text: str) -> None:
    """The order stays, repetitions go, names are lower case."""
    assert from_text(config_file, f"hosts: {text}").hosts == ("b.lan", "a.lan")


def test_ipv6_hosts_lose_their_brackets(config_file: Path) -> None:
    """A host is compared with what stands between the brackets of a Host header."""
    assert from_text(config_file, 'hosts: ["[::1]", "FE80::1"]').hosts == ("::1", "fe80::1")


def test_every_setting_is_a_variable() -> None:
    """The names are derived from the fields, so that none can be forgotten."""
    config = load(None, {"RESPFIX_UPSTREAM": "https://llm.lan/v1", "RESPFIX_TIMEOUTS_IDLE": "0", "PATH": "/bin"})

    assert Config(upstream="https://llm.lan/v1", timeouts=Timeouts(idle=0.0)) == config
    assert sorted(SETTINGS) == sorted(VARIABLES.values())


def test_an_unknown_variable_is_an_error_with_the_nearest_name() -> None:
    """A variable that sets nothing was meant to set something."""
    with pytest.raises(ConfigError) as error:
        from_environment({"RESPFIX_UPSTERAM": "http://h"})

    assert str(error.value) == "RESPFIX_UPSTERAM: there is no such setting; did you mean 'RESPFIX_UPSTREAM'?"


@pytest.mark.parametrize(
    "variable",
    [
        "RESPFIX_PORT",
        "RESPFIX_PORT_8081_TCP",
        "RESPFIX_PORT_8081_TCP_ADDR",
        "RESPFIX_SERVICE_HOST",
        "RESPFIX_SERVICE_PORT_HTTP",
        "RESPFIX_CANARY_SERVICE_PORT",
    ],
)
def test_the_variables_of_service_links_are_ignored(variable: str) -> None:
    """Kubernetes puts them into every container of a namespace with a service called respfix."""
    assert Config() == load(None, {variable: "tcp://10.0.0.1:8081"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("idel: 3", "config.yaml:1: there is no setting 'idel'; did you mean 'timeouts.idle'?"),
        ("\ntimeouts:\n  idel: 3", "config.yaml:3: there is no setting 'timeouts.idel'; did you mean 'timeouts.idle'?"),
        ("upsteam: x", "config.yaml:1: there is no setting 'upsteam'; did you mean 'upstream'?"),
        ("zzzzzz: 1", "config.yaml:1: there is no setting 'zzzzzz'"),
        ("timeouts.idle: 3", "config.yaml:1: there is no setting 'timeouts.idle'; did you mean 'timeouts.idle'?"),
        ("repair: on\nrepair: on", "config.yaml:2: repair is given twice; remove one of the two"),
        ("timeouts: 3", "config.yaml:1: timeouts: expected keys with values, such as `connect: …`"),
        ("- listen", "config.yaml:1: the file: expected keys with values, such as `listen: …`"),
        ("repair: maybe", "config.yaml:1: repair: expected one of on, observe, off, not 'maybe'"),
        ("repair: [on]", "config.yaml:1: repair: expected one of on, observe, off, not a list"),
        ("pass_host: 2", "config.yaml:1: pass_host: expected true or false, not '2'"),
        (
            "limits:\n  items: 0",
            "config.yaml:2: limits.items: expected a whole number, 1 or more, such as 1024, not '0'",
        ),
        ("keepalive: -1", "config.yaml:1: keepalive: expected seconds, 0 or more, such as 10 or 0.5, not '-1'"),
        ("keepalive: .nan", "config.yaml:1: keepalive: expected seconds, 0 or more, such as 10 or 0.5, not '.nan'"),
        ("listen: !env X", "config.yaml:1: listen: the tag !env means nothing here; write the value itself"),
        ("repair: {a: b}", "config.yaml:1: repair: expected one of on, observe, off, not keys or lists of lists"),
        (
            "dialect:",
            (
                "config.yaml:1: dialect: has no value; expected one of auto, default, codex, agent-framework, "
                "or remove the key"
            ),
        ),
        ("a: b: c", "config.yaml:1: is not YAML: mapping values are not allowed here"),
        ("a: 1\n---\nb: 2", "config.yaml:2: is not YAML: but found another document"),
        ("a: *b", "config.yaml:1: is not YAML: found undefined alias 'b'"),
        pytest.param(
            "[" * 5000, "config.yaml: is nested too deeply; no setting needs more than three levels", id="deep"
        ),
        (
            "hosts: &a [x, *a]",
            "config.yaml:1: hosts: expected host names without a port, such as respfix.lan, not keys or lists of lists",
        ),
    ],
)
def test_an_error_names_the_line_the_key_and_what_to_write(config_file: Path, text: str, expected: str) -> None:
    """One line, from which the file can be put right without looking anything up."""
    assert expected == complaint(config_file, text)


def test_a_file_that_cannot_be_read_is_said_with_its_path(tmp_path: Path) -> None:
    """A file that was named must be there, and be text."""
    with pytest.raises(ConfigError, match=r"absent\.yaml: cannot be read: No such file or directory; check the path"):
        load(tmp_path / "absent.yaml", {})
    (tmp_path / "latin.yaml").write_bytes(b"upstream: http://\xe4\n")
    with pytest.raises(ConfigError, match=r"latin\.yaml: is not UTF-8 text; save it as UTF-8"):
        load(tmp_path / "latin.yaml", {})
    (tmp_path / "binary.yaml").write_bytes(b"\0")
    with pytest.raises(ConfigError, match=r"binary\.yaml: is not YAML: unacceptable character"):
        load(tmp_path / "binary.yaml", {})


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8081", "127.0.0.1", 8081),
        ("[::1]:8081", "::1", 8081),
        ("localhost:0", "localhost", 0),
        ("0.0.0.0:65535", "0.0.0.0", 65535),
        ("Node-1.lan:80", "node-1.lan", 80),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, host: str, port: int) -> None:
    """Names, IPv4, and IPv6 in brackets; it prints as it is written."""
    address = Address.parse(text)

    assert Address(host, port) == address
    assert text.lower() == str(address)
    assert (host in {"127.0.0.1", "::1", "localhost"}) == address.is_private


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8081",
        ":8081",
        "127.0.0.1",
        "127.0.0.1:",
        "::1:8081",
        "[::1:80",
        "[]:80",
        "ftp://127.0.0.1:8081",
        "a b:80",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:8o81",
        "256.0.0.1:80",
        "127.0.0.1:80:80",
        "*:80",
        "127.0.0.1:\u0668\u0660",
    ],
)
def test_an_address_without_a_clear_host_is_refused(text: str) -> None:
    """Listening everywhere must be said (0.0.0.0), not left out."""
    with pytest.raises(ConfigError, match=r"^RESPFIX_LISTEN: listen: expected .*, such as 127\.0\.0\.1:8081"):
        load(None, {"RESPFIX_LISTEN": text})


@pytest.mark.parametrize(
    "text",
    [
        "http://h",
        "https://h/",
        "http://h:8080/v1",
        "http://[::1]:8080",
        "HTTP://H",
        "http://user:secret@h:1/a/b",
        "unix:/run/x",
    ],
)
def test_an_upstream_is_a_url(text: str) -> None:
    """With or without a path, a port, a user; it is kept as it was written."""
    assert text == load(None, {"RESPFIX_UPSTREAM": text}).upstream


@pytest.mark.parametrize(
    "text",
    [
        "",
        "h",
        "h:8080",
        "//h",
        "ftp://h",
        "unix:run/x",
        "unix:",
        "http://",
        "http:///v1",
        "http://:80",
        "http://h:0",
        "http://h:x",
        "http://h:70000",
        "http://h?x=1",
        "http://h/?",
        "http://h/#",
        "http://h /v1",
        "http://h\n/v1",
        "http://[::1",
        "http://\u00e4.lan",
    ],
)
def test_an_upstream_that_is_no_plain_url_is_refused(text: str) -> None:
    """No query and no fragment, which could not be joined with the client's; nothing that is not HTTP."""
    with pytest.raises(ConfigError, match=r"^x: upstream: expected http://host:port or https://host") as error:
        build({"upstream": Given(text, "x")})

    assert "\n" not in str(error.value)


def test_passwords_are_in_no_message_and_in_no_rendering() -> None:
    """An upstream may carry a password; what is printed ends up in tickets."""
    secret = "canary-7f3a"
    given = {"upstream": Given(f"http://user:{secret}@h:8080/v1", "--upstream")}
    for wrong in (f"htp://user:{secret}@h", f"user:{secret}@h", f"http://user:{secret}/x@h?y", f"http://{secret}@h@h?"):
        with pytest.raises(ConfigError) as error:
            build({"upstream": Given(wrong, "--upstream")})
        assert secret not in str(error.value)

    assert secret not in render(build(given), given)
    assert 'upstream: "http://***@h:8080/v1"  # --upstream\n' in render(build(given), given)


def test_an_unknown_defect_is_an_error_with_the_nearest_name(config_file: Path) -> None:
    """A misspelled switch would silently switch nothing."""
    slug = next(iter(DEFECTS))

    assert from_text(config_file, f"disable: [{slug}]").disable == (slug,)
    assert complaint(config_file, f"\ndisable:\n- {slug}s") == (
        f"config.yaml:2: disable: no defect is called '{slug}s'; did you mean '{slug}'?"
    )


def test_a_defect_cannot_be_enabled_and_disabled(config_file: Path) -> None:
    """Which of the two was meant is not for respfix to guess."""
    slug = next(iter(DEFECTS))

    assert complaint(config_file, f"disable: {slug}\nenable: {slug}") == (
        f"config.yaml:2: enable: '{slug}' is also disabled; say one of the two"
    )


def test_the_rendering_says_who_set_what(config_file: Path) -> None:
    """`--check-config` answers both "what is in effect" and "why"."""
    config_file.write_text("listen: 127.0.0.1:1\ntimeouts:\n  idle: 9\n")
    given = gather(config_file, {"RESPFIX_PASS_HOST": "yes"}, {"hosts": Given("a,b", "--allow-host")})

    lines = render(build(given), given).splitlines()

    assert f'listen: ["127.0.0.1:1"]  # {config_file}:1' in lines
    assert f"  idle: 9.0  # {config_file}:3" in lines
    assert "pass_host: true  # RESPFIX_PASS_HOST" in lines
    assert 'hosts: ["a", "b"]  # --allow-host' in lines
    assert 'repair: "on"  # default' in lines


def test_the_rendering_reads_back_as_the_same_configuration(config_file: Path) -> None:
    """What `--check-config` prints is a configuration file; also for other readers of YAML."""
    given = {"listen": Given("[::1]:1", "x"), "hosts": Given("::1", "x"), "limits.items": Given("5", "x")}
    config = build(given)

    assert config == from_text(config_file, render(config, given))
    assert yaml.safe_load(render(config, given))["repair"] == "on"


@given(st.sampled_from(sorted(SETTINGS)), st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_gives_a_value_or_one_line(name: str, text: str) -> None:
    """No text in a variable ends in a traceback or in a message of several lines."""
    try:
        config = build({name: Given(text, "x")})
    except ConfigError as error:
        message = str(error)
    else:
        message = f"x: {name}: {config}"

    assert message.startswith(f"x: {name}: ")
    assert [message] == message.splitlines()


# Routes


def routes(path: Path, text: str) -> list[tuple[str, tuple[str, ...], str, str, float, int]]:
    """The routes of a file, by what these tests change."""
    config = from_text(path, text)
    return [
        (
            route.path,
            tuple(map(str, route.listen)),
            route.config.upstream,
            route.config.repair,
            route.config.timeouts.idle,
            route.config.limits.items,
        )
        for route in config.routes
    ]


def test_a_route_has_what_it_does_not_say_from_the_top(config_file: Path) -> None:
    """Wherever it stands in the file; a section of its own keeps what it does not name."""
    text = (
        "routes:\n"
        "- path: /a\n  upstream: http://a\n  timeouts:\n    idle: 5\n"
        "- listen: [127.0.0.1:9, 'unix:/run/r.sock']\n  repair: off\n"
        "upstream: http://top\nlimits:\n  items: 7\ntimeouts:\n  idle: 9\n  connect: 3\n"
    )

    assert routes(config_file, text) == [
        ("/a", (), "http://a", "on", 5.0, 7),
        ("", ("127.0.0.1:9", "unix:/run/r.sock"), "http://top", "off", 9.0, 7),
    ]
    assert [route.config.timeouts.connect for route in from_text(config_file, text).routes] == [3.0, 3.0]


def test_the_addresses_of_routes_are_opened_too(config_file: Path) -> None:
    """Each once."""
    config = from_text(
        config_file, "listen: 127.0.0.1:1\nroutes:\n- listen: 127.0.0.1:2\n- path: /x\n  listen: 127.0.0.1:2\n"
    )

    assert [str(listener) for listener in config.listeners] == ["127.0.0.1:1", "127.0.0.1:2"]


def test_every_setting_is_global_or_a_routes_own() -> None:
    """None is forgotten when a new one comes; what is decided before a request is read cannot differ by path."""
    assert GLOBAL <= SETTINGS.keys()
    assert {"path", "listen", "upstream", "repair", "timeouts.idle", "upstream_tls.ca"} <= ROUTE_SETTINGS.keys()
    assert ROUTE_SETTINGS.keys() - SETTINGS.keys() == {"path"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("path: /a/", "2: routes.path: expected a path without a slash at its end, such as /sub2api, not '/a/'"),
        ("path: a", "2: routes.path: expected a path without a slash at its end, such as /sub2api, not 'a'"),
        ("path: /a?b", "2: routes.path: expected a path without a slash at its end, such as /sub2api, not '/a?b'"),
        ("upstream: http://a", "2: routes: say for which requests: `path: /name`, or `listen:` with an address"),
        ("path: /a\n- path: /a", "3: routes: another route is for the same requests; remove one of the two"),
        ("path: /a\n  uptsream: x", "3: there is no setting 'routes.uptsream'; did you mean 'upstream'?"),
        ("path: /a\n  hosts: [x]", "3: routes.hosts: is the same for all routes; set it at the top"),
        ("path: /a\n  admin:\n    listen: x", "3: routes.admin: is the same for all routes; set it at the top"),
        (
            "path: /a\n  timeouts:\n    drain: 3",
            "4: routes.timeouts.drain: is the same for all routes; set it at the top",
        ),
        ("path: /a\n  routes: []", "3: there is no setting 'routes.routes'"),
        ("path: /a\n  repair: maybe", "3: routes.repair: expected one of on, observe, off, not 'maybe'"),
        ("path: /a\n  timeouts: 3", "3: routes.timeouts: expected keys with values, such as `connect: …`"),
        ("path: /a\n  path: /b", "3: routes.path is given twice; remove one of the two"),
        ("{}", "2: routes: a route needs settings, such as `path: /name`"),
        ("x", "2: routes: expected keys with values, such as `path: …`"),
        ("listen: https://127.0.0.1:1", "2: routes.listen: https:// needs tls.certificate"),
        (
            "path: /a\n  disable: missing-usage\n  enable: missing-usage",
            "4: routes.enable: 'missing-usage' is also disabled; say one of the two",
        ),
    ],
)
def test_an_error_in_a_route_names_its_line_and_its_key(config_file: Path, text: str, expected: str) -> None:
    """As at the top."""
    assert complaint(config_file, f"routes:\n- {text}") == f"config.yaml:{expected}"


def test_routes_are_a_list(config_file: Path) -> None:
    """One that is written as keys would lose all but the last."""
    assert complaint(config_file, "routes:\n  path: /a") == (
        "config.yaml:2: routes: expected a list, each with a `-` and its settings"
    )
    assert from_text(config_file, "routes:\n").routes == ()


def test_the_rendering_of_routes_reads_back(config_file: Path) -> None:
    """With who said what, as everywhere."""
    text = "routes:\n- path: /a\n  upstream: http://u:canary@a\n  timeouts: {idle: 5}\n- listen: 127.0.0.1:9\n"
    config_file.write_text(text)
    given = gather(config_file, {}, {})
    lines = render(build(given), given).splitlines()

    assert lines[-6:] == [
        "routes:",
        f'  - path: "/a"  # {config_file}:2',
        f'    upstream: "http://***@a"  # {config_file}:3',
        "    timeouts:",
        f"      idle: 5.0  # {config_file}:4",
        f'  - listen: ["127.0.0.1:9"]  # {config_file}:5',
    ]
    plain = from_text(config_file, text.replace("u:canary@", ""))
    assert plain == from_text(config_file, render(plain, gather(config_file, {}, {})))


# What does not fit together


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("listen: []", "1: listen: expected at least one address, such as 127.0.0.1:8081"),
        ("listen: https://127.0.0.1:1", "1: listen: https:// needs tls.certificate"),
        ("tls:\n  certificate: /c", "2: tls.certificate: no listener speaks TLS; write `listen: https://host:port`"),
        ("listen: https://h:1\ntls:\n  key: /k", "1: listen: https:// needs tls.certificate"),
        ("tls:\n  key: k", "2: tls.key: expected an absolute path, such as /etc/respfix/name, not 'k'"),
        ("upstream_tls:\n  key: /k", "2: upstream_tls.key: a key is of no use without upstream_tls.certificate"),
        (
            "upstream_tls:\n  ca: /c\n  verify: false",
            "2: upstream_tls.ca: is not asked while upstream_tls.verify is false; remove one of the two",
        ),
        (
            "admin:\n  listen: 127.0.0.1:8081",
            "2: admin.listen: 127.0.0.1:8081 is also where clients connect; choose another port",
        ),
        (
            "listen: [127.0.0.1:1, 'https://127.0.0.1:1']",
            "1: listen: 127.0.0.1:1 cannot be both http and https; choose another port",
        ),
        (
            "listen: 'unix:run'",
            "1: listen: expected host:port, such as 127.0.0.1:8081 or [::1]:8081, https://host:port",
        ),
        (
            "trusted_proxies: 10.0.0.1/8",
            "1: trusted_proxies: expected addresses, networks or unix, such as 127.0.0.1 or 10.0.0.0/8",
        ),
        (
            "admission:\n  requests: -1",
            "2: admission.requests: expected a whole number, 0 or more, such as 3, not '-1'",
        ),
        ("log:\n  format: xml", "2: log.format: expected one of human, json, not 'xml'"),
    ],
)
def test_what_does_not_fit_together_is_said_where_it_was_given(config_file: Path, text: str, expected: str) -> None:
    """A setting that would do nothing was meant to do something."""
    assert complaint(config_file, text).startswith(f"config.yaml:{expected}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://0.0.0.0:8443", Address("0.0.0.0", 8443, is_tls=True)),
        ("http://127.0.0.1:9081", Address("127.0.0.1", 9081)),
        ("unix:/run/r.sock", UnixSocket("/run/r.sock")),
        ("unix:///run/r.sock", UnixSocket("/run/r.sock")),
    ],
)
def test_listeners_can_speak_tls_and_be_files(text: str, expected: Address | UnixSocket) -> None:
    """Spelled as other programs do; they print as they are written."""
    config = load(None, {"RESPFIX_ADMIN_LISTEN": text, "RESPFIX_TLS_CERTIFICATE": "/c" if "https" in text else ""})

    assert (expected,) == config.admin.listen
    assert (expected,) == load(
        None, {"RESPFIX_ADMIN_LISTEN": str(expected), "RESPFIX_TLS_CERTIFICATE": "/c" if expected.is_tls else ""}
    ).admin.listen


def test_a_setting_whose_variable_looks_like_a_service_link_is_set() -> None:
    """RESPFIX_REUSE_PORT is spelled like what Kubernetes says about a service called respfix-reuse."""
    assert load(None, {"RESPFIX_REUSE_PORT": "true"}).reuse_port


def test_a_reload_knows_what_changed() -> None:
    """By name, and what of it is kept until a restart."""
    before, after = Config(), replace(Config(), timeouts=Timeouts(idle=1.0), reuse_port=True, routes=(Route("/a"),))

    assert ["reuse_port", "timeouts.idle", "routes"] == changed(before, after)
    assert [] == changed(after, after)
    assert ["reuse_port"] == [line.partition(":")[0] for line in kept(changed(before, after))]
    assert KEPT.keys() <= SETTINGS.keys()
