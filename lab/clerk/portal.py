"""Clerk's hosted pages: sign-in, sign-up, a new organisation, and the way back to the application.

No password and no code: who knows an e-mail address of the lab is let in. What has to be right is the way there and back.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from lab.clerk import web
from lab.clerk.errors import ClerkError, invalid
from lab.clerk.instance import Instance
from lab.clerk.model import Session, User

PAGE = (Path(__file__).parent / "portal.html").read_text()
SHOWN = 50
PARAMETER = "__clerk_db_jwt"
CHOOSE = "sign-in/tasks/choose-organization"


def with_parameter(url: str, name: str, value: str) -> str:
    """An address with a query parameter set, all else in it kept."""
    parts = urlsplit(url)
    query = [(n, v) for n, v in parse_qsl(parts.query, keep_blank_values=True) if n != name]
    return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode([*query, (name, value)]), parts.fragment))


def origin_of(url: str) -> str:
    """Scheme, host and port, as a browser writes an origin."""
    parts = urlsplit(url)
    port = "" if parts.port in (None, {"http": 80, "https": 443}.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{parts.hostname}{port}"


class Portal:
    """Handlers of the hosted pages; ``publishable_key`` gives the suffix of this lab's own cookies."""

    def __init__(self, instance: Instance, publishable_key: str) -> None:
        self.instance = instance
        digest = hashlib.sha1(publishable_key.encode(), usedforsecurity=False).digest()
        self.suffix = "_" + base64.urlsafe_b64encode(digest).decode()[:8]

    def routes(self) -> list[Route]:
        both = ["GET", "POST"]
        return [
            Route("/sign-in", self.sign_in, methods=both),
            Route("/sign-in/choose", self.sign_in, methods=both),
            Route("/sign-in/tasks/choose-organization", self.choose_organization, methods=both),
            Route("/sign-up", self.sign_up, methods=both),
            Route("/create-organization", self.create_organization, methods=both),
            Route("/default-redirect", self.home, methods=["GET"]),
            Route("/v1/tickets/accept", self.ticket, methods=["GET"]),
        ]

    # --- pages --------------------------------------------------------------------------------------------------

    async def sign_in(self, request: Request) -> Response:
        people = sorted(self.instance.data.users.values(), key=lambda u: u.created_at)[:SHOWN]
        buttons = "".join(
            f'<button name="user" value="{html.escape(u.id)}">{html.escape(_called(u))}<br><small>{html.escape(u.identifier)}</small></button>'
            for u in people
        )
        fields = f"{buttons}<label>Email address<input name='identifier' type='text' autocomplete='username'></label><button>Continue</button>"
        if request.method == "GET":
            return self.page(request, "sign-in", "Sign in", fields)
        found = await web.form(request)
        try:
            return self.back(request, found, lambda: self._who(found))
        except ClerkError as error:
            return self.page(request, "sign-in", "Sign in", fields, error, found)

    def _who(self, found: dict[str, str]) -> User:
        if found.get("ticket"):
            return self.instance.take_ticket(found["ticket"])
        if found.get("user"):
            return self.instance.user(found["user"])
        user = self.instance.owner_of(web.text(found, "identifier"))
        if not user:
            raise ClerkError(422, "form_identifier_not_found", "Couldn't find your account.", param="identifier")
        return user

    async def sign_up(self, request: Request) -> Response:
        fields = (
            "<label>First name<input name='first_name'></label><label>Last name<input name='last_name'></label>"
            "<label>Email address<input name='email_address' type='text' autocomplete='email'></label><button>Continue</button>"
        )
        if request.method == "GET":
            return self.page(request, "sign-up", "Create your account", fields)
        found = await web.form(request)

        def who() -> User:
            first, last = found.get("first_name") or None, found.get("last_name") or None
            return self.instance.create_user([web.text(found, "email_address")], first_name=first, last_name=last)

        try:
            return self.back(request, found, who)
        except ClerkError as error:
            return self.page(request, "sign-up", "Create your account", fields, error, found)

    async def create_organization(self, request: Request) -> Response:
        fields = "<label>Name<input name='name'></label><button>Create organization</button>"
        return await self._organization(request, "create-organization", "Create organization", fields)

    async def choose_organization(self, request: Request) -> Response:
        """What a pending session is for: nobody gets back to the application without an organisation."""
        session = self.active(request.query_params.get(PARAMETER, ""))
        mine = self.instance.memberships(user_id=session.user_id) if session else []
        names = [(m.organization_id, self.instance.organization(m.organization_id).name) for m in mine]
        fields = "".join(f'<button name="organization" value="{id}">{html.escape(name)}</button>' for id, name in names)
        fields += "<label>Name<input name='name'></label><button>Create organization</button>"
        return await self._organization(request, CHOOSE, "Choose an organization", fields)

    async def _organization(self, request: Request, path: str, title: str, fields: str) -> Response:
        if request.method == "GET":
            return self.page(request, path, title, fields)
        found = await web.form(request)
        session = self.active(found.get("db_jwt", ""))
        try:
            target = self.target(request, found)
            if session is None:
                raise ClerkError(401, "signed_out", "You are signed out")
            wanted = (
                found.get("organization")
                or self.instance.create_organization(web.text(found, "name"), created_by=session.user_id).id
            )
            self.instance.set_organization(session, wanted)
        except ClerkError as error:
            return self.page(request, path, title, fields, error, found)
        return RedirectResponse(with_parameter(target, PARAMETER, found["db_jwt"]), 303)

    async def home(self, request: Request) -> Response:
        return RedirectResponse(self.instance.settings.home_url or f"{web.public_base(request)}/sign-in", 303)

    async def ticket(self, request: Request) -> Response:
        """The address in a sign-in token: to the sign-in page, which sends the ticket on."""
        kept = urlencode({name: value for name, value in request.query_params.items() if name in ("ticket", "redirect_url")})
        return RedirectResponse(f"{web.public_base(request)}/sign-in?{kept}", 303)

    # --- there and back -----------------------------------------------------------------------------------------

    def active(self, browser: str) -> Session | None:
        return next(self.instance.sessions(self.instance.client(browser)), None)

    def target(self, request: Request, found: dict[str, str]) -> str:
        """Where to go afterwards: an address of the web, nothing that a browser would run."""
        wanted = found.get("redirect_url") or self.instance.settings.home_url or web.public_base(request)
        url = urljoin(f"{web.public_base(request)}/", wanted)
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise invalid("redirect_url", "it must be an address of the web")
        return url

    def back(self, request: Request, found: dict[str, str], who: Callable[[], User]) -> Response:
        """Sign in, unless the browser is signed in, and go to where the person came from."""
        target, browser = self.target(request, found), found.get("db_jwt", "")
        if browser not in self.instance.data.browsers:
            browser = self.instance.new_browser()
        asked = any(found.get(name) for name in ("user", "identifier", "email_address", "ticket"))
        if asked or not self.active(browser):
            self.instance.sign_in(browser, who().id, origin_of(target))
        session = self.active(browser)
        if session and session.status == "pending":
            kept = urlencode({PARAMETER: browser, "redirect_url": target})
            return RedirectResponse(f"{web.public_base(request)}/{CHOOSE}?{kept}", 303)
        return RedirectResponse(with_parameter(target, PARAMETER, browser), 303)

    def page(
        self,
        request: Request,
        path: str,
        title: str,
        fields: str,
        error: ClerkError | None = None,
        found: dict[str, str] | None = None,
    ) -> HTMLResponse:
        base, found = web.public_base(request), found or {}
        other = ("sign-up", "No account? Sign up") if path != "sign-up" else ("sign-in", "Have an account? Sign in")
        ticket = request.query_params.get("ticket", "") if error is None else ""
        # Clerk's pages send who is signed in already straight back, and so does this one
        known = self.active(request.query_params.get(PARAMETER, "")) is not None and path in ("sign-in", "sign-up")
        content = PAGE.format(
            title=title,
            action=html.escape(f"{base}/{path}"),
            fields=fields,
            problem=f'<p role="alert">{html.escape(error.message)}</p>' if error else "",
            browser=html.escape(found.get("db_jwt", "")),
            redirect=html.escape(found.get("redirect_url", "")),
            ticket=html.escape(ticket),
            other=html.escape(f"{base}/{other[0]}"),
            other_text=other[1],
            kind="sign_up" if path == "sign-up" else "sign_in",
            home=html.escape(self.instance.settings.home_url),
            suffix=self.suffix,
            signed_in="true" if error is None and (known or ticket) else "false",
        )
        return HTMLResponse(content, error.status if error else 200)


def _called(user: User) -> str:
    return " ".join(part for part in (user.first_name, user.last_name) if part) or user.identifier
