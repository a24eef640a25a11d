from types import SimpleNamespace

import pytest
from synthetic import synthetic_run

from samplerbench.results.report.build import write_report

pytest.register_assert_rewrite("rendered_claims")  # failing claims show their values


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run directory that tests only read."""
    return synthetic_run(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module")
def report(run, tmp_path_factory):
    return write_report(run.path, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def show(browser, report):
    """Opens the report, one page for each window and colour scheme, which takes a second; demands
    that nothing was said on the console and nothing asked of a network.

    A page that was asked for before is as a test left it: one that does not put everything back
    asks for a ``fresh`` one.
    """
    opened, known = [], {}

    def open_page(*, fresh=False, **options):
        options = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light", **options}
        if fresh or str(options) not in known:
            page = load_page(options)
            if fresh:
                return page
            known[str(options)] = page
        known[str(options)].evaluate("scrollTo(0, 0)")
        return known[str(options)]

    def load_page(options):
        context = browser.new_context(**options)
        context.set_default_timeout(10_000)
        context.set_default_navigation_timeout(60_000)  # a page is loaded when it can be drawn
        page, noise, requests = context.new_page(), [], []
        page.on("console", lambda message: noise.append(message.text))
        page.on("pageerror", lambda error: noise.append(str(error)))
        page.on(
            "dialog", lambda dialog: noise.append(f"dialog {dialog.message}") or dialog.dismiss()
        )
        page.on("request", lambda request: requests.append(request.url))
        page.goto(report.as_uri())
        opened.append(SimpleNamespace(context=context, noise=noise, requests=requests))
        return page

    yield open_page
    for one in opened:
        one.context.close()
        assert one.noise == []
        assert [url for url in one.requests if not url.startswith(("data:", "blob:"))] == [
            report.as_uri()
        ]
