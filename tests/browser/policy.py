"""The page's Content-Security-Policy as a browser sees it: what a page tried and was refused."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, ConsoleMessage

TELL = """window.addEventListener('securitypolicyviolation', (event) => window.tellViolation(
  `${event.effectiveDirective} refused ${event.blockedURI} on ${location.pathname}, asked for by ${event.sourceFile || 'the page'}:${event.lineNumber}`
), true)"""


def watch(context: BrowserContext) -> list[str]:
    """From now on every violation in every tab of ``context`` is added to the list that is returned. Call it before the first page."""
    violations: list[str] = []

    def told(message: ConsoleMessage) -> None:
        # what happens before a listener can be there is in the console alone
        if message.type == "error" and "Content Security Policy" in message.text:
            violations.append(message.text)

    context.expose_function("tellViolation", lambda what: violations.append(str(what)))
    context.add_init_script(TELL)
    context.on("console", told)
    return violations
