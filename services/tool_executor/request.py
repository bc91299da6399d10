"""From arguments to one HTTP request, where an argument can only ever be a value. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlencode, urlsplit

import msgspec

from services.tool_executor.check import BadArguments
from services.tool_executor.schema import Schema, properties, required
from services.tool_executor.template import BadTemplate, Template
from services.tool_executor.toolsfile import BadToolsFile, HttpSettings

_OURS = {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"}
_SECRETS = {"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"}
_URL_MAX = 16 * 1024


@dataclass(frozen=True, slots=True)
class Origin:
    """Where requests go: fixed by the file."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Origin":
        """Raises ValueError for a URL without a usable host."""
        parts = urlsplit(url)
        scheme = parts.scheme.lower()
        if scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or "\\" in url:
            raise ValueError("a URL begins with http:// or https:// and a host, without a user")
        if not parts.hostname.isascii():
            raise ValueError("a host's name is written in ASCII (punycode)")
        return cls(scheme, parts.hostname.rstrip(".").lower(), parts.port or (443 if scheme == "https" else 80))


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request without its credentials. `url` is encoded already."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """HttpSettings with its templates parsed and checked against the tool's parameters."""

    method: str
    origin: Origin
    base: str
    path: Template
    query: dict[str, Template]
    headers: dict[str, Template]
    form: dict[str, Template] | None
    text: Template | None
    json: object | None

    @classmethod
    def of(cls, settings: HttpSettings, parameters: Schema) -> "RequestPlan":
        """Raises BadToolsFile."""
        origin, base, path = _url(settings.url)
        bodies = [body for body in (settings.json, settings.form, settings.text) if body is not None]
        if len(bodies) > 1:
            raise BadToolsFile("write one of json, form and text")
        if bodies and settings.method in ("GET", "HEAD"):
            raise BadToolsFile(f"{settings.method} carries no body; use POST, PUT, PATCH or DELETE")
        _check_headers(settings)
        plan = cls(
            settings.method,
            origin,
            base,
            path,
            _templates(settings.query),
            _templates(settings.headers),
            None if settings.form is None else _templates(settings.form),
            None if settings.text is None else _template(settings.text),
            None if settings.json is None else _parse_tree(settings.json),
        )
        plan._check_places(parameters)
        return plan

    def compose(self, arguments: Mapping[str, object]) -> Outgoing:
        """Raises BadArguments when a value may not stand where it would."""
        texts = {name: text_of(value) for name, value in arguments.items() if value is not None}
        headers = {name: _header(name, value) for name, value in _present(self.headers, texts)}
        body, media_type = self._body(arguments, texts)
        if media_type:
            headers.setdefault("Content-Type", media_type)
        url = self.base + _path(self.path, texts)
        pairs = list(_query(self.query, arguments, texts))
        if pairs:
            url += "?" + urlencode(pairs, quote_via=quote, safe="")
        if len(url) > _URL_MAX:
            raise BadArguments(f"the address would be longer than {_URL_MAX} characters; use shorter arguments")
        return Outgoing(self.method, url, headers, body)

    def _body(self, arguments: Mapping[str, object], texts: Mapping[str, str]) -> tuple[bytes | None, str]:
        if self.json is not None:
            return msgspec.json.encode(_fill_tree(self.json, arguments, texts)), "application/json"
        if self.form is not None:
            pairs = list(_query(self.form, arguments, texts))
            return urlencode(pairs).encode(), "application/x-www-form-urlencoded"
        if self.text is not None:
            return _whole(self.text, texts).encode(), "text/plain; charset=utf-8"
        return None, ""

    def _check_places(self, parameters: Schema) -> None:
        known, always = set(properties(parameters)), required(parameters)
        lone = [*self.query.values(), *self.headers.values(), *(self.form or {}).values()]
        for template in [self.path, *lone, *_tree_templates(self.json), *([self.text] if self.text else [])]:
            for place in template.places:
                if place not in known:
                    raise BadToolsFile(f"there is a place {{{place}}} but no such argument under parameters.properties")
                if place not in always and not (template.only and template is not self.path):
                    raise BadToolsFile(
                        f"{{{place}}} cannot be left out where it stands; name it in `required` or give it a default"
                    )


def text_of(value: object) -> str:
    """An argument as text: strings as they are, everything else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def normalised(url: str) -> str:
    """The path as a policy compares it: decoded, with `/` for `\\`, no empty segment, and `.` and `..` resolved, so
    that two spellings of one place are one text (RFC 3986, 6.2)."""
    segments: list[str] = []
    path = _decoded(urlsplit(url).path)
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    return "/" + "/".join(segments) + ("/" if segments and path.endswith("/") else "")


def _url(url: str) -> tuple[Origin, str, Template]:
    try:
        origin = Origin.of(url)
    except ValueError as error:
        raise BadToolsFile(f"url {url!r}: {error}") from None
    parts = urlsplit(url)
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise BadToolsFile("url has a query or a fragment; write parameters under `query`")
    if "{" in parts.netloc or "{" in parts.scheme:
        raise BadToolsFile("scheme, host and port of url are fixed; places are allowed in its path only")
    return origin, f"{origin.scheme}://{parts.netloc}", _template(parts.path or "/")


def _check_headers(settings: HttpSettings) -> None:
    for name in [
        *settings.headers,
        *(secret.name for secret in settings.credentials if secret.place == "header"),
    ]:
        if not name or not all(c.isascii() and (c.isalnum() or c in "-_.!#$%&'*+^`|~") for c in name):
            raise BadToolsFile(f"{name!r} is no name of a header")
        if name.lower() in _OURS:
            raise BadToolsFile(f"header {name!r} is set by the executor alone")
    for name in settings.headers:
        if name.lower() in _SECRETS:
            raise BadToolsFile(f"header {name!r} holds a secret; write it under `credentials`")


def _template(source: str) -> Template:
    try:
        return Template.parse(source)
    except BadTemplate as error:
        raise BadToolsFile(str(error)) from None


def _templates(sources: Mapping[str, str]) -> dict[str, Template]:
    return {name: _template(source) for name, source in sources.items()}


def _present(templates: Mapping[str, Template], texts: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    for name, template in templates.items():
        if not template.only or template.only in texts:
            yield name, _whole(template, texts)


def _query(
    templates: Mapping[str, Template], arguments: Mapping[str, object], texts: Mapping[str, str]
) -> Iterable[tuple[str, str]]:
    """A list becomes the same parameter several times."""
    for name, template in templates.items():
        value = arguments.get(template.only) if template.only else None
        if isinstance(value, list):
            yield from ((name, text_of(item)) for item in value)
        elif not template.only or template.only in texts:
            yield name, _whole(template, texts)


def _whole(template: Template, texts: Mapping[str, str]) -> str:
    try:
        return template.fill(texts)
    except KeyError as missing:
        raise BadArguments(f"{missing.args[0]} may not be null here") from None


def _path(template: Template, texts: Mapping[str, str]) -> str:
    """Values are percent-encoded whole, and may not make a segment by which a server would climb, were it to
    decode them first."""
    for name in template.places:
        value = texts.get(name, "")
        if not value:
            raise BadArguments(f"{name} may not be empty: it is a part of the address")
        if any(segment in (".", "..") for segment in _decoded(value).split("/")):
            raise BadArguments(f"{name} may not have '.' or '..' between slashes: it is a part of the address")
    path = _whole(template, {name: quote(text, safe="") for name, text in texts.items()})
    if any(segment in (".", "..") for segment in path.split("/")):
        raise BadArguments("the address would have '.' or '..' between slashes")
    return quote(path, safe="/%:@!$&'()*+,;=-._~")


def _decoded(value: str) -> str:
    return unquote(unquote(value)).replace("\\", "/")


def _header(name: str, value: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise BadArguments(f"the value for header {name} must be printable ASCII")
    return value.strip()


def _parse_tree(value: object) -> object:
    if isinstance(value, str):
        return _template(value)
    if isinstance(value, dict):
        return {str(name): _parse_tree(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_parse_tree(inner) for inner in value]
    return value


def _tree_templates(tree: object) -> Iterable[Template]:
    if isinstance(tree, Template):
        yield tree
    elif isinstance(tree, dict):
        for inner in tree.values():
            yield from _tree_templates(inner)
    elif isinstance(tree, list):
        for inner in tree:
            yield from _tree_templates(inner)


def _fill_tree(tree: object, arguments: Mapping[str, object], texts: Mapping[str, str]) -> object:
    """Members whose argument was left out are left out, so that the other side's own default holds."""
    if isinstance(tree, Template):
        return arguments.get(tree.only) if tree.only else _whole(tree, texts)
    if isinstance(tree, dict):
        return {
            name: _fill_tree(inner, arguments, texts) for name, inner in tree.items() if not _left_out(inner, arguments)
        }
    if isinstance(tree, list):
        return [_fill_tree(inner, arguments, texts) for inner in tree if not _left_out(inner, arguments)]
    return tree


def _left_out(tree: object, arguments: Mapping[str, object]) -> bool:
    return isinstance(tree, Template) and bool(tree.only) and tree.only not in arguments
