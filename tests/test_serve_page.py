"""The page at `/`: driven in a real browser, against a real local server whose replies the tests write."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import promptlift

sync_api = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright")
axe_api = pytest.importorskip("axe_playwright_python.sync_playwright", reason="and axe-playwright-python")
expect = sync_api.expect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome is installed: no browser")

PAGE = Path(promptlift.__file__).parent / "serving" / "page"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript"}
PROMPT = "write a poem about the last train home"
ADVICE = "Use vivid sensory images, and end on a strong line."
REWRITE = f"{PROMPT}\n\n{ADVICE}"
CHECKS = {"literal": "a number, quote or name is missing", "drift": "it has little to do with the prompt"}
SECONDS = 10.0


@dataclass
class Reply:
    """One response: its parts are written one by one, an Event is waited for, and `cut` breaks the connection."""

    parts: list[bytes | threading.Event]
    status: int = 200
    kind: str = "text/event-stream"
    cut: bool = False


def as_json(value: Any, status: int = 200) -> Reply:
    return Reply([json.dumps(value).encode()], status, "application/json")


def event(value: Any) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


DONE = b"data: [DONE]\n\n"


def chunk(content: str | None = None, end: str | None = None, **delta: Any) -> bytes:
    """A chunk of a streamed answer, as OpenAI's API sends it."""
    choice = {"index": 0, "delta": delta if content is None else {"content": content, **delta}, "finish_reason": end}
    return event({"id": "1", "object": "chat.completion.chunk", "model": "sent-model", "choices": [choice]})


def answer(*pieces: str) -> Reply:
    return Reply([chunk(role="assistant"), *map(chunk, pieces), chunk(end="stop"), DONE])


def record(prompt: str, rewrite: str | None = None, reason: str | None = None, **more: Any) -> dict[str, Any]:
    """The record of a rewrite, as POST /v1/rewrite gives it."""
    row = {"prompt": prompt, "rewrite": rewrite or prompt, "changed": rewrite is not None, "reason": reason}
    checks = [{"name": name, "passed": True} for name in CHECKS] if rewrite else []
    return {**row, "target": None, "prompter": "tiny@1", "seconds": 0.403, "checks": checks, **more}


def rewriting(row: dict[str, Any], *pieces: str) -> Reply:
    came = [event({"index": 0, "piece": piece}) for piece in pieces]
    return Reply([*came, event({"index": 0, "rewrite": row}), DONE])


@dataclass
class Asked:
    """A request as it came in."""

    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Stub:
    """Serves the page as promptlift does, and replies what its fields say; notes what it is asked."""

    info: Any = field(
        default_factory=lambda: {
            "version": "1", "prompter": "tiny@1", "state": "ready", "targets": [], "turns": "first", "needs_key": False,
            "votes": True, "checks": CHECKS,
        }
    )  # fmt: skip
    models: Callable[[], Reply] = lambda: as_json({"object": "list", "data": [{"id": "one"}, {"id": "two"}]})
    rewrite: Callable[[str], Reply] = lambda prompt: rewriting(
        record(prompt, f"{prompt}\n\n{ADVICE}"), "Use vivid ", "sensory images"
    )
    chat: Callable[[str], Reply] = lambda prompt: answer(
        *("Steel ", "and rain.") if ADVICE in prompt else ("A ", "poem.")
    )
    vote: Callable[[], Reply] = lambda: as_json(
        {"id": "v1", "votes": 12, "command": "promptlift evaluate import-verdicts a.jsonl"}
    )
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    def of(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == path]

    def reply(self, path: str, body: Any) -> Reply:
        if path == "/promptlift/info":
            return self.info if isinstance(self.info, Reply) else as_json(self.info)
        if path == "/v1/models":
            return self.models()
        if path == "/v1/rewrite":
            return self.rewrite(body["prompt"])
        if path == "/v1/chat/completions":
            return self.chat(body["messages"][-1]["content"])
        if path == "/promptlift/votes":
            return self.vote()
        file = PAGE / ("index.html" if path == "/" else path.removeprefix("/page/"))
        if file.is_file() and file.parent == PAGE:
            return Reply([file.read_bytes()], kind=TYPES[file.suffix])
        return as_json({"error": {"message": "not found"}}, 404)


class Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 with chunks, each part one of them, so that a connection that breaks is seen as broken."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    stub: Stub

    def do_GET(self) -> None:
        self.serve(None)

    def do_POST(self) -> None:
        self.serve(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def serve(self, body: Any) -> None:
        path = self.path
        if not path.startswith("/page/"):
            self.stub.asked.append(Asked(path, {k.lower(): v for k, v in self.headers.items()}, body))
        reply = self.stub.reply(path, body)
        try:
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.kind)
            self.send_header("Content-Security-Policy", CSP)
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in reply.parts:
                if isinstance(part, threading.Event):
                    assert part.wait(SECONDS)
                else:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            if reply.cut:
                self.close_connection = True
            else:
                self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True  # the page stopped reading

    def log_message(self, *_: Any) -> None:
        """Quiet."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A browser that goes away in the middle of a request is nothing to report."""


@pytest.fixture
def stub() -> Iterator[Stub]:
    found = Stub()
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"stub": found}))
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def context(browser: Any) -> Iterator[Any]:
    found = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    found.set_default_timeout(SECONDS * 1000)
    expect.set_options(timeout=SECONDS * 1000)
    yield found
    found.close()


@pytest.fixture
def faults() -> list[str]:
    """What the browser's console and the page complained of; replies with an error status are not in it."""
    return []


@pytest.fixture
def page(context: Any, stub: Stub, faults: list[str]) -> Iterator[Any]:
    """The page, loaded; in the end nothing went wrong in it."""
    found = context.new_page()

    def note(message: Any) -> None:
        # The browser itself reports each failed request, whether the page deals with it or not.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            faults.append(message.text)

    found.on("console", note)
    found.on("pageerror", lambda error: faults.append(str(error)))
    load(found, stub)
    yield found
    assert faults == []


def load(page: Any, stub: Stub) -> None:
    page.goto(stub.url)
    expect(page.locator("#state")).to_have_attribute("data-state", "ready" if isinstance(stub.info, dict) else "down")


def ask(page: Any, prompt: str = PROMPT) -> None:
    page.fill("#prompt", prompt)
    page.keyboard.press("Control+Enter")


def settled(page: Any, status: str) -> None:
    """Wait until the status line says so, and nothing goes on any more."""
    expect(page.locator("#status")).to_contain_text(status)
    expect(page.locator("#stop")).to_be_hidden()


def panes(page: Any) -> list[str]:
    return page.locator(".pane .text").all_inner_texts()


def toggle_blind(page: Any, coin: int | None = None) -> None:
    """Switch blind mode on; `coin` 0 puts the answer to the raw prompt on the left, 1 the other one."""
    if coin is not None:
        page.evaluate("coin => { crypto.getRandomValues = (array) => array.fill(coin) }", coin)
    page.check("#blind")


# Rewriting


def test_the_rewrite_streams_and_its_changes_are_marked(page: Any, stub: Stub) -> None:
    on = threading.Event()
    row = record("write a peom about rain", "write a poem about rain, softly")
    stub.rewrite = lambda prompt: Reply(
        [event({"index": 0, "piece": "a poem"}), on, event({"index": 0, "rewrite": row}), DONE]
    )
    page.fill("#prompt", "write a peom about rain")
    page.fill("#model", "two")
    page.click("#rewrite-only")
    expect(page.locator("#rewrite-text")).to_have_text("a poem")
    expect(page.locator("#rewrite-time")).to_contain_text("not checked yet")
    on.set()
    settled(page, "Rewritten in 0.4 s.")
    assert page.locator("#rewrite-text del").all_inner_texts() == ["peom"]
    assert page.locator("#rewrite-text ins").all_inner_texts() == ["poem", ", softly"]
    assert "underline" in page.eval_on_selector("#rewrite-text ins", "e => getComputedStyle(e).textDecoration")
    assert "line-through" in page.eval_on_selector("#rewrite-text del", "e => getComputedStyle(e).textDecoration")
    expect(page.locator("#rewrite-badge")).to_have_text("Changed")
    expect(page.locator("#rewrite-count")).to_have_text("2 words added, 1 removed")
    page.uncheck("#marks")
    expect(page.locator("#rewrite-text")).to_have_text("write a poem about rain, softly")
    assert page.locator("#rewrite-text :is(ins, del)").count() == 0
    [asked] = stub.of("/v1/rewrite")
    assert asked.body == {"prompt": "write a peom about rain", "model": "two", "stream": True}
    assert stub.of("/v1/chat/completions") == []


def test_checks_have_names_marks_and_meanings(page: Any, stub: Stub) -> None:
    checks = [{"name": "literal", "passed": False}, {"name": "drift", "passed": None}]
    stub.rewrite = lambda prompt: rewriting(record(prompt, reason="guard:literal", checks=checks))
    page.fill("#prompt", PROMPT)
    page.click("#rewrite-only")
    settled(page, "Left as it was")
    expect(page.locator("#rewrite-reason")).to_contain_text("check “literal” (a number, quote or name is missing)")
    summary = page.get_by_text("Guard: stopped by “literal”")
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#checks li")).to_have_text(
        [
            "✗literal failedstopped it: a number, quote or name is missing",
            "–drift not runwould stop it: it has little to do with the prompt",
        ]
    )


REASONS = [
    ("identity", "It needs no help"),
    ("unproven", "not shown to help"),
    ("guard:language", "It is not English"),
    ("deadline", "did not come in time"),
    ("news", "Reason: news"),
]  # fmt: skip


def test_an_unchanged_prompt_says_why_and_asks_for_one_answer(page: Any, stub: Stub) -> None:
    for reason, words in REASONS:
        stub.asked.clear()
        stub.rewrite = lambda prompt, reason=reason: rewriting(record(prompt, reason=reason))
        ask(page)
        settled(page, "The answer is there.")
        expect(page.locator("#rewrite-badge")).to_have_text("Left as it was")
        expect(page.locator("#rewrite-reason")).to_contain_text(words)
        expect(page.locator("#answers-note")).to_have_text("Nothing was changed, so there is one answer only.")
        expect(page.locator("#checks")).to_be_hidden()
        assert panes(page) == ["A poem."]
        assert len(stub.of("/v1/chat/completions")) == 1


BAD_REWRITES = [
    (as_json({"error": {"message": "no such\nmodel"}}, 422), "422 no such model"),
    (as_json({"error": {"message": "key?"}}, 401), "401 key? (see the keys under Settings)"),
    (Reply([event({"index": 0, "piece": "a"})]), "cut short"),
    (Reply([event({"index": 0, "piece": "a"})], cut=True), "cut short"),
    (Reply([event({"error": {"message": "the engine fell over"}})]), "the engine fell over"),
    (Reply([b"data: {nonsense\n\n", DONE]), "no JSON"),
]  # fmt: skip


def test_a_failed_rewrite_is_one_line(page: Any, stub: Stub) -> None:
    for reply, line in BAD_REWRITES:
        stub.rewrite = lambda prompt, reply=reply: reply
        ask(page)
        settled(page, "Rewriting failed.")
        expect(page.locator("#rewrite-error")).to_contain_text(line)
        expect(page.locator("#rewrite-text")).to_be_hidden()
    assert stub.of("/v1/chat/completions") == []


def test_a_server_that_is_gone_is_named(page: Any) -> None:
    page.route("**/v1/rewrite", lambda route: route.abort())
    ask(page)
    settled(page, "Rewriting failed.")
    expect(page.locator("#rewrite-error")).to_contain_text("can’t be reached")


# Answers


def test_both_answers_stream_side_by_side(page: Any, stub: Stub) -> None:
    on = threading.Event()
    stub.chat = lambda prompt: Reply(
        [chunk("Steel " if ADVICE in prompt else "A "), on, chunk("end.", end="stop"), DONE]
    )
    page.click("summary")
    page.fill("#max-tokens", "64")
    page.fill("#temperature", "0.5")
    page.fill("#model", "one")
    ask(page)
    expect(page.locator(".pane .text")).to_have_text(["A ", "Steel "])
    expect(page.locator("#stop")).to_be_visible()
    on.set()
    settled(page, "Both answers are there.")
    assert panes(page) == ["A end.", "Steel end."]
    assert page.locator(".pane h3").all_inner_texts() == ["Answer to your prompt", "Answer to the rewrite"]
    left, right = (page.locator(".pane").nth(at).bounding_box() for at in (0, 1))
    assert left["y"] == right["y"] and left["x"] < right["x"]
    asked = stub.of("/v1/chat/completions")
    assert sorted(a.body["messages"][0]["content"] for a in asked) == [PROMPT, REWRITE]
    for request in asked:
        assert request.headers["x-promptlift-turns"] == "never"
        rest = {k: v for k, v in request.body.items() if k != "messages"}
        assert rest == {"model": "one", "stream": True, "max_tokens": 64, "temperature": 0.5}


def test_stop_keeps_what_came(page: Any, stub: Stub) -> None:
    on = threading.Event()
    stub.chat = lambda prompt: Reply([chunk("So far"), on, chunk(" and on")])
    ask(page)
    expect(page.locator(".pane .text")).to_have_text(["So far", "So far"])
    page.keyboard.press("Escape")
    settled(page, "Stopped.")
    on.set()
    expect(page.locator(".pane .note")).to_have_text(["Stopped.", "Stopped."])
    assert panes(page) == ["So far", "So far"]


def test_stop_while_it_is_rewritten(page: Any, stub: Stub) -> None:
    on = threading.Event()
    stub.rewrite = lambda prompt: Reply([on])
    ask(page)
    page.click("#stop")
    settled(page, "Stopped.")
    on.set()
    expect(page.locator("#rewrite")).to_be_hidden()
    expect(page.locator("#history li")).to_have_text("Nothing yet.")


def test_a_new_prompt_replaces_the_one_that_goes_on(page: Any, stub: Stub) -> None:
    on = threading.Event()
    stub.chat = lambda prompt: (
        Reply([chunk("first"), on, chunk(" late"), DONE]) if "rain" in prompt else answer("second")
    )
    ask(page, "rain")
    expect(page.locator(".pane .text")).to_have_text(["first", "first"])
    ask(page, "snow")
    settled(page, "Both answers are there.")
    on.set()
    assert panes(page) == ["second", "second"]


BAD_ANSWERS = [
    (as_json({"error": {"message": "The model\n\n`x` does not exist"}}, 404), None, "404 The model `x` does not exist"),
    (as_json({"error": "model not found"}, 400), None, "400 model not found"),
    (as_json({"detail": "busy"}, 503), None, "503 busy"),
    (Reply([b"<html><h1>Bad</h1></html>"], 502, "text/html"), None, "502 Bad Gateway"),
    (Reply([b"plain words"], 500, "text/plain"), None, "500 plain words"),
    (as_json({"error": {"message": "x" * 5000}}, 400), None, "xxx…"),
    (Reply([chunk("Half"), event({"error": {"message": "out of memory"}})]), "Half", "out of memory"),
    (as_json({"error": {"message": "said with 200"}}), None, "said with 200"),
    (as_json({"choices": []}), None, "without an answer"),
    (answer(), None, "The model sent no text."),
    (Reply([chunk(end="length"), DONE]), None, "no text. It ended at the limit of tokens."),
    (Reply([chunk("Half an ans")]), "Half an ans", "Cut short"),
    (Reply([chunk("Half"), chunk(" of")[:-9]]), "Half", "Cut short"),
    (Reply([], cut=True), None, "Cut short"),
    (Reply([]), None, "Cut short"),
]  # fmt: skip


def test_what_goes_wrong_with_an_answer_is_said_in_its_place(page: Any, stub: Stub) -> None:
    for reply, text, line in BAD_ANSWERS:
        stub.chat = lambda prompt, reply=reply: reply if ADVICE in prompt else answer("fine")
        ask(page)
        settled(page, "One of the answers did not come whole.")
        [good, bad] = page.locator(".pane").all()
        expect(good.locator(".text")).to_have_text("fine")
        expect(good.locator(".error")).to_be_hidden()
        expect(bad.locator(".error")).to_contain_text(line)
        said = bad.locator(".error").inner_text()
        assert "\n" not in said and len(said) <= 300
        if text is None:
            expect(bad.locator(".text")).to_be_hidden()
        else:
            expect(bad.locator(".text")).to_have_text(text)


def test_a_connection_that_breaks_leaves_what_came(page: Any, stub: Stub) -> None:
    on = threading.Event()
    stub.chat = lambda prompt: Reply([chunk("Half an ans"), on], cut=True)
    ask(page)
    expect(page.locator(".pane .text")).to_have_text(["Half an ans", "Half an ans"])
    on.set()
    settled(page, "No answer came whole.")
    assert panes(page) == ["Half an ans", "Half an ans"]
    expect(page.locator(".pane .error").first).to_contain_text("Cut short")


GOOD_ANSWERS = [
    (as_json({"choices": [{"index": 0, "message": {"role": "assistant", "content": "plain JSON"}}]}), "plain JSON"),
    (Reply([chunk("no done", end="stop")]), "no done"),
    (Reply([chunk("no reason"), DONE]), "no reason"),
    (Reply([chunk("no last line").rstrip(), b"\n\ndata: [DONE]"]), "no last line"),
    (Reply([chunk(role="assistant"), event({"choices": []}), chunk("null "), chunk(content=None, x=1), chunk("skipped"),
            event({"choices": [], "usage": {"total_tokens": 3}}), DONE]), "null skipped"),
    (Reply([b": ping\n\nevent: x\nid: 1\n", chunk("fields"), DONE]), "fields"),
    (Reply([(chunk("carriage") + chunk(" returns") + DONE).replace(b"\n", b"\r\n")]), "carriage returns"),
    (Reply([bytes([byte]) for byte in chunk("grün 🚂 ok") + DONE]), "grün 🚂 ok"),
    (Reply([event({"choices": [{"index": 1, "delta": {"content": "no"}}, {"index": 0, "delta": {"content": "yes"}}]}), DONE]), "yes"),
    (Reply([event({"choices": [{"delta": {"content": [{"type": "text", "text": "in parts"}]}}]}), DONE]), "in parts"),
    (Reply([chunk(refusal="I can't."), DONE]), "I can't."),
]  # fmt: skip


def test_the_streams_of_many_upstreams_are_read(page: Any, stub: Stub) -> None:
    for reply, text in GOOD_ANSWERS:
        stub.chat = lambda prompt, reply=reply: reply
        ask(page)
        settled(page, "Both answers are there.")
        assert panes(page) == [text, text]
        assert page.locator(".pane .error:visible").count() == 0


def test_text_stays_text(page: Any, stub: Stub, faults: list[str]) -> None:
    evil = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script><b>&amp;</b>\u202egnp.exe\u2066'
    page.add_init_script(
        "window.violations = []; addEventListener('securitypolicyviolation', e => violations.push(e.violatedDirective))"
    )
    stub.rewrite = lambda prompt: rewriting(record(prompt, f"{prompt} {evil}", prompter=evil), evil)
    stub.chat = lambda prompt: answer(evil) if "again" in prompt else as_json({"error": {"message": evil}}, 400)
    stub.models = lambda: as_json({"data": [{"id": evil}, {"id": 1}, None]})
    stub.info["checks"] = {"literal": evil}
    load(page, stub)
    for prompt, status in ((evil, "No answer came whole."), (f"again {evil}", "Both answers are there.")):
        ask(page, prompt)
        settled(page, status)
        page.locator("#checks summary").click()
    assert panes(page) == [evil, evil]
    assert page.locator("#rewrite-text").inner_text() == f"again {evil} {evil}"
    assert (
        page.evaluate(
            "document.querySelectorAll('main img, main script, main b b, .text *:not(span, ins, del)').length"
        )
        == 0
    )
    assert page.evaluate("[window.pwned ?? null, ...window.violations]") == [None]
    for selector in (".pane .text", "#rewrite-text", ".entry-prompt"):
        assert page.locator(selector).first.evaluate("e => getComputedStyle(e).unicodeBidi") == "isolate"
    assert faults == []


def test_modules_never_write_html() -> None:
    for file in PAGE.iterdir():
        text = file.read_text(encoding="utf-8")
        for word in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "http:",
            "https:",
        ):
            assert word not in text.replace("http://www.w3.org/2000/svg", ""), f"{word} in {file.name}"
        assert file.suffix in TYPES
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    assert "style=" not in html and "<style" not in html and " onclick" not in html


def test_copy_says_that_it_copied(page: Any, context: Any, stub: Stub) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    ask(page)
    settled(page, "Both answers are there.")
    page.click("#rewrite-copy")
    expect(page.locator("#rewrite-copy")).to_have_text("Copied")
    expect(page.locator("#spoken")).to_have_text("Rewrite copied")
    assert page.evaluate("navigator.clipboard.readText()") == REWRITE
    page.get_by_role("button", name="Copy Answer to the rewrite").click()
    expect(page.locator("#spoken")).to_have_text("Answer to the rewrite copied")
    assert page.evaluate("navigator.clipboard.readText()") == "Steel and rain."


def test_copy_works_without_a_clipboard_of_its_own(page: Any, context: Any, stub: Stub) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    ask(page)
    settled(page, "Both answers are there.")
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('plain HTTP')) }")
    page.click("#rewrite-copy")
    expect(page.locator("#spoken")).to_have_text("Rewrite copied")
    assert page.evaluate("navigator.clipboard.readText()") == REWRITE
    expect(page.locator("#rewrite-copy")).to_be_focused()


# The parts, on their own


def test_the_diff_gives_both_texts_back(page: Any) -> None:
    found = page.evaluate(
        """async () => {
            const { diff } = await import("/page/diff.js");
            const words = ["a", "b", "über", "c3", " ", " ", "\\n", ".", "🚂", "e\\u0301", "\\ud800"];
            let seed = 7;
            const next = (most) => (seed = (seed * 48271) % 2147483647) % most;
            const text = () => Array.from({ length: next(12) }, () => words[next(words.length)]).join("");
            const bad = [];
            const long = "x y ".repeat(3000);
            const pairs = [[long + "1" + long, "2" + long], ["", ""], ["a", ""], ["", "a"]];
            for (let i = 0; i < 3000; i += 1) pairs.push([text(), text()]);
            for (const [a, b] of pairs) {
                const parts = diff(a, b);
                const join = (not) => parts.filter((p) => p.kind !== not).map((p) => p.text).join("");
                const twice = parts.some((p, i) => p.kind === parts[i + 1]?.kind || p.text === "");
                if (join("ins") !== a || join("del") !== b || twice) bad.push([a, b, parts]);
            }
            return bad.slice(0, 3);
        }"""
    )
    assert found == []


def test_the_parser_takes_any_cut(page: Any) -> None:
    stream = ': hi\r\n\r\ndata: {"a":\r\ndata: 1}\r\n\r\nevent: x\rdata:ü🚂\r\rdata\n\ndata: [DONE]\n\nretry: 1\n\ndata: half'
    found = page.evaluate(
        """async (stream) => {
            const { messages } = await import("/page/sse.js");
            const bytes = new TextEncoder().encode(stream);
            const read = async (chunks) => {
                const body = new ReadableStream({
                    start(control) { chunks.forEach((c) => control.enqueue(c)); control.close(); },
                });
                const found = [];
                for await (const data of messages(body)) found.push(data);
                return JSON.stringify(found);
            };
            const seen = new Set([await read(Array.from(bytes, (byte) => Uint8Array.of(byte)))]);
            for (let at = 0; at <= bytes.length; at += 1) {
                seen.add(await read([bytes.slice(0, at), new Uint8Array(), bytes.slice(at)]));
            }
            return [...seen].map((text) => JSON.parse(text));
        }""",
        stream,
    )
    assert found == [['{"a":\n1}', "ü🚂", "", "[DONE]"]]


# Settings


def test_the_target_and_the_options_are_remembered(page: Any, stub: Stub) -> None:
    expect(page.locator("#models option")).to_have_count(2)
    assert page.eval_on_selector_all("#models option", "all => all.map(o => o.value)") == ["one", "two"]
    page.click("summary")
    page.fill("#model", "two")
    page.fill("#max-tokens", "9")
    page.locator("#max-tokens").blur()
    load(page, stub)
    assert page.input_value("#model") == "two"
    assert page.input_value("#max-tokens") == "9"


def test_without_a_list_of_models_the_field_still_works(page: Any, stub: Stub) -> None:
    for reply in (as_json({"error": {"message": "no"}}, 500), as_json([]), Reply([b"<p>"], kind="text/html")):
        stub.models = lambda reply=reply: reply
        stub.asked.clear()
        load(page, stub)
        page.fill("#model", "typed")
        ask(page)
        settled(page, "Both answers are there.")
        assert [asked.body["model"] for asked in stub.of("/v1/chat/completions")] == ["typed", "typed"]


def test_a_single_model_is_chosen_and_no_model_is_sent_as_none(page: Any, stub: Stub) -> None:
    ask(page)
    settled(page, "Both answers are there.")
    assert all("model" not in asked.body for asked in [*stub.of("/v1/chat/completions"), *stub.of("/v1/rewrite")])
    stub.models = lambda: as_json({"data": [{"id": "only"}]})
    load(page, stub)
    expect(page.locator("#model")).to_have_value("only")


def test_keys_stay_in_the_tab_and_go_only_where_they_should(page: Any, context: Any, stub: Stub) -> None:
    stub.info["needs_key"] = True
    stub.asked.clear()
    load(page, stub)
    assert stub.of("/v1/models") == []  # it would be refused
    expect(page.locator("#key-hint")).to_have_text("This server asks for it.")
    expect(page.locator("#key")).to_be_visible()
    ask(page)
    expect(page.locator("#key")).to_be_focused()  # it is required
    assert stub.of("/v1/rewrite") == []
    page.fill("#key", "our-secret")
    page.fill("#llm-key", "llm-secret")
    page.locator("#llm-key").blur()
    toggle_blind(page)
    stub.asked.clear()
    ask(page)
    settled(page, "Which is better?")
    page.keyboard.press("3")
    expect(page.locator("#verdict-saved")).to_contain_text("Saved.")
    load(page, stub)
    expect(page.locator("#models option")).to_have_count(2)
    assert page.input_value("#llm-key") == "llm-secret"
    assert {asked.headers.get("x-promptlift-key") for asked in stub.asked if asked.path != "/"} == {"our-secret"}
    llm = {asked.path for asked in stub.asked if asked.headers.get("authorization") == "Bearer llm-secret"}
    assert llm == {"/v1/chat/completions", "/v1/models"}
    assert not any("authorization" in asked.headers for asked in stub.asked if asked.path not in llm)
    assert not any("secret" in asked.path or "secret" in json.dumps(asked.body) for asked in stub.asked)
    kept = page.evaluate(
        "[JSON.stringify({...localStorage}), JSON.stringify({...sessionStorage}), document.cookie, location.href]"
    )
    assert "secret" in kept[1] and not any("secret" in place for place in (kept[0], kept[2], kept[3]))
    other = context.new_page()
    load(other, stub)
    assert other.input_value("#key") == "" and other.input_value("#llm-key") == ""


def test_a_key_that_no_header_can_carry_is_refused_in_its_field(page: Any, stub: Stub) -> None:
    page.click("summary")
    page.fill("#llm-key", "schlüssel")
    page.click("summary")
    ask(page)
    expect(page.locator("#llm-key")).to_be_focused()
    assert "no key has" in page.eval_on_selector("#llm-key", "e => e.validationMessage")
    assert stub.of("/v1/rewrite") == []


def test_info_that_asks_for_a_key_itself(context: Any, stub: Stub) -> None:
    stub.info = as_json({"error": {"message": "key"}}, 401)
    page = context.new_page()
    load(page, stub)
    expect(page.locator("#state")).to_have_text("The server asks for its key")
    expect(page.locator("#key")).to_be_visible()
    stub.info = Stub().info
    page.fill("#key", "k")
    page.locator("#key").blur()
    expect(page.locator("#state")).to_have_text("Prompter: ready (tiny@1)")


def test_the_state_of_the_prompter_is_followed(context: Any, stub: Stub) -> None:
    page = context.new_page()
    page.clock.install()
    ready = stub.info
    stub.info = {**ready, "state": "starting"}
    page.goto(stub.url)
    expect(page.locator("#state")).to_have_text("Prompter: starting…")
    stub.info = ready
    page.clock.run_for(3000)
    expect(page.locator("#state")).to_have_text("Prompter: ready (tiny@1)")


# History


def test_history_restores_survives_a_reload_and_is_deleted(page: Any, stub: Stub) -> None:
    page.fill("#model", "two")
    for prompt in ("one", "two", "three"):
        ask(page, prompt)
        settled(page, "Both answers are there.")
    expect(page.locator(".entry-prompt")).to_have_text(["three", "two", "one"])
    stub.asked.clear()
    page.fill("#model", "other")
    load(page, stub)
    page.locator(".entry").nth(1).click()
    assert page.input_value("#prompt") == "two" and page.input_value("#model") == "two"
    assert page.locator("#rewrite-text").inner_text() == f"two\n\n{ADVICE}"
    assert panes(page) == ["A poem.", "Steel and rain."]
    expect(page.locator("#checks")).to_be_visible()
    expect(page.locator("#rewrite-title")).to_be_focused()
    expect(page.locator(".entry").nth(1)).to_have_attribute("aria-current", "true")
    assert not any(asked.body for asked in stub.asked)  # nothing of it goes to the server

    page.get_by_role("button", name="Delete two").click()
    expect(page.locator(".entry-prompt")).to_have_text(["three", "one"])
    expect(page.locator(".entry").nth(1)).to_be_focused()
    load(page, stub)
    expect(page.locator(".entry-prompt")).to_have_text(["three", "one"])
    page.click("#history-clear")
    page.click("#clear-no")
    expect(page.locator(".entry")).to_have_count(2)
    page.click("#history-clear")
    expect(page.locator("#clear-count")).to_have_text("2 prompts are in it.")
    page.click("#clear-yes")
    expect(page.locator("#history li")).to_have_text("Nothing yet.")
    assert page.evaluate("localStorage.getItem('promptlift.history')") is None
    assert not any(asked.body for asked in stub.asked)


def test_history_keeps_fifty_and_drops_the_oldest_where_storage_is_full(page: Any, stub: Stub) -> None:
    old = [
        {"id": str(at), "at": 0, "prompt": f"old {at}", "model": "", "rewrite": record(f"old {at}"), "answers": {}}
        for at in range(50)
    ]
    bad = [None, 1, {"id": "x"}, {**old[0], "at": "never"}, {**old[0], "answers": {"raw": {"text": 1}}}]
    page.evaluate("rows => localStorage.setItem('promptlift.history', JSON.stringify(rows))", bad + old)
    load(page, stub)
    expect(page.locator(".entry")).to_have_count(50)
    ask(page, "new")
    settled(page, "Both answers are there.")
    expect(page.locator(".entry")).to_have_count(50)
    expect(page.locator(".entry-prompt").last).to_have_text("old 48")
    page.evaluate(
        """() => {
            const set = Storage.prototype.setItem;
            Storage.prototype.setItem = function (key, text) {
                if (text.length > 6000) throw new DOMException("full", "QuotaExceededError");
                return set.call(this, key, text);
            };
        }"""
    )
    ask(page, "newer")
    settled(page, "Both answers are there.")
    expect(page.locator("#history-note")).to_contain_text("older prompts were dropped")
    expect(page.locator(".entry-prompt").first).to_have_text("newer")
    some = page.locator(".entry").count()
    assert 2 < some < 50
    ask(page, "far too long " * 600)
    settled(page, "Both answers are there.")
    expect(page.locator("#history-note")).to_contain_text("gone when you leave")
    expect(page.locator(".entry")).to_have_count(some + 1)
    page.evaluate("() => { localStorage.setItem('promptlift.settings', '[') }")
    load(page, stub)
    expect(page.locator(".entry")).to_have_count(some)


def test_without_storage_the_page_works_and_says_what_it_forgets(context: Any, stub: Stub) -> None:
    page = context.new_page()
    page.add_init_script(
        "for (const name of ['localStorage', 'sessionStorage']) "
        "Object.defineProperty(window, name, { get() { throw new DOMException('no', 'SecurityError'); } })"
    )
    load(page, stub)
    expect(page.locator("#history-note")).to_contain_text("keeps nothing")
    page.click("summary")
    page.fill("#llm-key", "k")
    ask(page)
    settled(page, "Both answers are there.")
    expect(page.locator(".entry")).to_have_count(1)
    assert stub.of("/v1/chat/completions")[0].headers["authorization"] == "Bearer k"


def test_another_tab_is_followed(page: Any, context: Any, stub: Stub) -> None:
    other = context.new_page()
    load(other, stub)
    ask(other)
    expect(page.locator(".entry-prompt")).to_have_text(PROMPT)


# Blind


@pytest.mark.parametrize("coin", [0, 1])
def test_a_blind_vote(page: Any, stub: Stub, coin: int) -> None:
    toggle_blind(page, coin)
    page.fill("#model", "two")
    texts = {"raw": "A poem.", "rewritten": "Steel and rain."}
    order = ["raw", "rewritten"] if coin == 0 else ["rewritten", "raw"]
    for key, winner in (("1", order[0]), ("2", order[1]), ("3", "tie")):
        stub.asked.clear()
        ask(page)
        settled(page, "Which is better?")
        assert panes(page) == [texts[side] for side in order]
        page.keyboard.press(key)
        expect(page.locator("#verdict-saved")).to_have_text("Saved. 12 verdicts so far.")
        [vote] = stub.of("/promptlift/votes")
        assert vote.body == {
            "model": "two", "prompt": PROMPT, "rewrite": REWRITE, "answer_raw": "A poem.",
            "answer_rewritten": "Steel and rain.", "winner": winner, "first": order[0],
        }  # fmt: skip
        to = {"raw": "to your prompt", "rewritten": "to the rewrite"}
        assert page.locator(".pane h3").all_inner_texts() == [f"Answer A: {to[order[0]]}", f"Answer B: {to[order[1]]}"]
        said = {"raw": "your own prompt", "rewritten": "the rewrite", "tie": "A tie"}[winner]
        expect(page.locator("#verdict-title")).to_contain_text(said)
        expect(page.locator("#verdict-title")).to_be_focused()
        expect(page.locator("#verdict-command")).to_have_text("promptlift evaluate import-verdicts a.jsonl")
        expect(page.locator("#rewrite-text")).to_contain_text(ADVICE)
        page.keyboard.press("1")  # a second vote is none
        page.locator(".entry").first.click()
        expect(page.locator("#verdict-title")).to_contain_text(said)
        assert len(stub.of("/promptlift/votes")) == 1


@pytest.mark.parametrize("late", ["raw", "rewritten"])
def test_nothing_tells_which_is_which_before_the_vote(page: Any, stub: Stub, late: str) -> None:
    empty = page.locator("#rewrite").text_content()
    ask(page, "an earlier one")  # what it left on the page must not stay there
    settled(page, "Both answers are there.")
    page.click("#history-clear")
    page.click("#clear-yes")
    on, rewritten, begun = threading.Event(), threading.Event(), threading.Event()

    def chat(prompt: str) -> Reply:
        slow = (ADVICE in prompt) == (late == "rewritten")
        if not slow:
            return answer("quick")
        begun.set()
        return Reply([chunk("slow"), on, chunk(end="length"), DONE])

    stub.chat = chat
    stub.rewrite = lambda prompt: Reply(
        [event({"index": 0, "piece": ADVICE}), rewritten, *rewriting(record(prompt, REWRITE)).parts]
    )
    page.evaluate(
        """() => {
            window.seen = [];
            const look = () => seen.push([...document.querySelectorAll("#answers .pane")].map((p) => p.outerHTML).join());
            new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
        }"""
    )
    toggle_blind(page, 1)
    expect(page.locator("#rewrite-only")).to_be_disabled()
    ask(page)
    expect(page.locator("#status")).to_have_text("Rewriting, then asking for both answers…")
    assert page.locator(".pane h3").all_inner_texts() == ["Answer A", "Answer B"]
    rewritten.set()
    assert begun.wait(SECONDS)
    # The quick one is the third that the page has to the end, after the two of the earlier prompt.
    page.evaluate(
        """() => new Promise((done) => {
            let ended = 0;
            const count = (list) => {
                ended += list.getEntries().filter((entry) => entry.name.includes("/chat/")).length;
                if (ended >= 3) done();
            };
            new PerformanceObserver(count).observe({ type: "resource", buffered: true });
        })"""
    )
    assert "quick" not in page.content() and "slow" not in page.content()
    on.set()
    settled(page, "Both answers are there. Which is better?")
    # No state of the page ever held one answer without the other.
    assert all(("quick" in state) == ("slow" in state) for state in page.evaluate("window.seen"))
    html = page.content()
    assert ADVICE not in html and "tiny@1" not in page.locator("main").inner_html()
    for word in ("raw", "rewrit", "prompt", "limit of tokens", "Answer to", "0."):
        assert word not in page.locator("#answers").inner_html() + page.locator("#vote").inner_html(), word
    assert page.locator("#rewrite").text_content() == empty
    expect(page.locator("#rewrite")).to_be_hidden()
    expect(page.locator("#verdict")).to_be_hidden()
    left, right = (page.locator(".pane").nth(at).inner_html() for at in (0, 1))
    names = str.maketrans({"A": "*", "B": "*"})
    same = [side.replace("quick", "*").replace("slow", "*").translate(names) for side in (left, right)]
    assert same[0] == same[1]
    assert page.evaluate("Object.keys(localStorage).includes('promptlift.history')") is False
    page.click("#vote-a")
    expect(page.locator("#rewrite-text")).to_contain_text(ADVICE)
    expect(page.locator(".entry")).to_have_count(1)


def test_the_order_is_random(page: Any) -> None:
    found = page.evaluate(
        """async () => {
            const { shuffled } = await import("/page/blind.js");
            return Array.from({ length: 400 }, () => shuffled()[0]);
        }"""
    )
    assert 120 < found.count("raw") < 280  # eight standard deviations


def test_keys_vote_only_where_nothing_is_typed(page: Any, stub: Stub) -> None:
    toggle_blind(page, 0)
    ask(page, "x")
    settled(page, "Which is better?")
    page.focus("#prompt")
    page.keyboard.press("End")
    page.keyboard.type("1?")
    assert page.input_value("#prompt") == "x1?"
    page.locator("#prompt").blur()
    page.keyboard.press("Control+1")
    page.click("summary")
    page.uncheck("#single-keys")
    page.keyboard.press("1")
    expect(page.locator("#help")).to_be_hidden()
    assert stub.of("/promptlift/votes") == []
    page.check("#single-keys")
    page.keyboard.press("2")
    expect(page.locator("#verdict-saved")).to_contain_text("Saved")
    assert stub.of("/promptlift/votes")[0].body["winner"] == "rewritten"


def test_a_vote_that_was_not_saved_can_be_sent_again(page: Any, stub: Stub) -> None:
    good, stub.vote = stub.vote, lambda: as_json({"error": {"message": "disk full"}}, 507)
    toggle_blind(page, 0)
    ask(page)
    settled(page, "Which is better?")
    page.click("#vote-b")
    expect(page.locator("#verdict-failed")).to_contain_text("not saved: 507 disk full")
    page.click("#verdict-retry")
    expect(page.locator("#verdict-failed")).to_contain_text("disk full")
    load(page, stub)  # it can be sent after a reload, too
    page.locator(".entry").click()
    expect(page.locator("#verdict-failed")).to_have_text("This verdict was not saved.")
    stub.vote = good
    page.click("#verdict-retry")
    expect(page.locator("#verdict-saved")).to_have_text("Saved. 12 verdicts so far.")
    expect(page.locator("#verdict-retry")).to_be_hidden()
    bodies = [vote.body for vote in stub.of("/promptlift/votes")]
    assert len(bodies) == 3 and bodies[0] == bodies[1] == bodies[2]
    load(page, stub)
    page.locator(".entry").click()
    expect(page.locator("#verdict-saved")).to_have_text("Saved.")


def test_no_vote_without_two_whole_answers(page: Any, stub: Stub) -> None:
    toggle_blind(page, 0)
    stub.chat = lambda prompt: Reply([chunk("Half")]) if ADVICE in prompt else answer("whole")
    ask(page)
    settled(page, "One of the answers did not come whole. No verdict")
    expect(page.locator("#vote")).to_be_hidden()
    assert page.locator(".pane h3").all_inner_texts() == ["Answer A: to your prompt", "Answer B: to the rewrite"]
    stub.rewrite = lambda prompt: rewriting(record(prompt, reason="identity"))
    ask(page)
    settled(page, "The answer is there.")
    expect(page.locator("#vote")).to_be_hidden()
    expect(page.locator("#rewrite-reason")).to_contain_text("needs no help")
    stub.rewrite = lambda prompt: as_json({"error": {"message": "broken"}}, 500)
    ask(page)
    settled(page, "Rewriting failed.")
    assert page.locator(".pane").count() == 0


def test_a_vote_names_the_model_that_answered_where_none_was_chosen(page: Any, stub: Stub) -> None:
    toggle_blind(page, 0)
    nameless = [event({"choices": [{"delta": {"content": "yes"}}]}), DONE]
    for reply, name in ((answer("yes"), "sent-model"), (Reply(nameless), "unnamed")):
        stub.chat = lambda prompt, reply=reply: reply
        stub.asked.clear()
        ask(page)
        settled(page, "Which is better?")
        page.keyboard.press("3")
        expect(page.locator("#verdict-saved")).to_contain_text("Saved.")
        assert [vote.body["model"] for vote in stub.of("/promptlift/votes")] == [name]


def test_the_answers_can_be_shown_without_a_verdict(page: Any, stub: Stub) -> None:
    toggle_blind(page, 1)
    ask(page)
    settled(page, "Which is better?")
    page.click("#vote-skip")
    assert page.locator(".pane h3").all_inner_texts() == ["Answer A: to the rewrite", "Answer B: to your prompt"]
    expect(page.locator("#verdict")).to_be_hidden()
    expect(page.locator(".entry")).to_have_count(1)
    assert stub.of("/promptlift/votes") == []


def test_the_switch_is_off_where_no_verdicts_are_kept(page: Any, stub: Stub) -> None:
    stub.info["votes"] = 3
    load(page, stub)
    expect(page.locator("#blind-hint")).to_contain_text("3 verdicts so far.")
    page.check("#blind")
    stub.info["votes"] = False
    load(page, stub)
    expect(page.locator("#blind")).to_be_disabled()
    expect(page.locator("#blind-hint")).to_contain_text("keeps no verdicts")
    ask(page)
    settled(page, "Both answers are there.")
    expect(page.locator("#rewrite-text")).to_contain_text(ADVICE)


# Keyboard, size, colours


def test_the_keyboard_reaches_all_in_order(page: Any) -> None:
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#prompt")).to_be_focused()
    order = []
    for _ in range(5):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.id || document.activeElement.localName"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
    assert order == ["model", "blind", "summary", "run", "rewrite-only"]


def test_the_shortcuts_are_listed(page: Any) -> None:
    page.focus("#run")
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    expect(page.locator("#run")).to_be_focused()
    page.click("#help-open")
    page.click("#help-close")
    expect(page.locator("#help")).to_be_hidden()


def test_status_is_said_per_step_not_per_token(page: Any, stub: Stub) -> None:
    stub.chat = lambda prompt: answer(*["word "] * 200)
    page.evaluate(
        """() => {
            window.said = [];
            const region = document.getElementById("status");
            new MutationObserver(() => said.push(region.textContent)).observe(region, { childList: true });
        }"""
    )
    ask(page)
    settled(page, "Both answers are there.")
    assert page.evaluate("said") == ["Rewriting…", "Asking for both answers…", "Both answers are there."]
    assert page.locator(".pane [aria-live], .pane [role=status], #rewrite [aria-live]").count() == 0


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_has_no_horizontal_scroll(page: Any, stub: Stub, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    stub.chat = lambda prompt: answer("A verylongword" + "x" * 300 + "\n    " + "wide " * 40)
    toggle_blind(page, 0)
    page.click("summary")
    fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    ask(page, "https://example.org/" + "a" * 200)
    settled(page, "Which is better?")
    assert page.evaluate(fits)
    page.click("#vote-a")
    expect(page.locator("#verdict-saved")).to_contain_text("Saved")
    page.locator("#checks summary").click()
    assert page.evaluate(fits)
    left, right = (page.locator(".pane").nth(at).bounding_box() for at in (0, 1))
    assert left["x"] == right["x"] and left["y"] < right["y"]  # one above the other
    page.click("#help-open")
    assert page.evaluate(fits)
    box = page.locator("#help").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page: Any, stub: Stub, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    axe = axe_api.Axe()

    def check(where: str) -> None:
        found = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]
        bad = [
            (v["id"], [n["html"] for n in v["nodes"]])
            for v in found
            if v["impact"] in ("serious", "critical", "moderate")
        ]
        assert bad == [], where

    check("empty")
    page.locator("summary").first.click()
    ask(page)
    settled(page, "Both answers are there.")
    page.locator("#checks summary").click()
    check("results")
    stub.chat = lambda prompt: as_json({"error": {"message": "no"}}, 400)
    stub.rewrite = lambda prompt: rewriting(record(prompt, "other words"))
    ask(page)
    settled(page, "No answer came whole.")
    check("errors")
    page.click("#help-open")
    check("dialog")
    page.click("#help-close")
    page.click("#history-clear")
    check("clear dialog")
    page.click("#clear-no")
    stub.chat = lambda prompt: answer("fine")
    stub.vote = lambda: as_json({"error": {"message": "no"}}, 500)
    toggle_blind(page, 0)
    ask(page)
    settled(page, "Which is better?")
    check("vote")
    page.click("#vote-tie")
    expect(page.locator("#verdict-retry")).to_be_visible()
    check("verdict")
