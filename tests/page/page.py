"""Uses the page of `tilewright serve` in headless Chromium: see README.md."""

import argparse
import base64
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import urllib.request
import uuid

from playwright.sync_api import Page, expect, sync_playwright

ROOT = pathlib.Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "samples/speech.wav"
QUICK = ["--temperature-increment", "0", "--no-speech-threshold", "2"]
QUICK += ["--logprob-threshold", "-1000", "--no-timestamps"]


@contextlib.contextmanager
def server(binary: str, *arguments: str, token: str | None = None):
    """The address of a server."""
    command = [binary, "serve", "--port", "0", *QUICK, *arguments]
    environment = {k: v for k, v in os.environ.items() if k != "TILEWRIGHT_TOKEN"}
    if token:
        environment["TILEWRIGHT_TOKEN"] = token
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def ask(address: str, file: pathlib.Path, response_format: str) -> str:
    """What the API answers."""
    boundary = uuid.uuid4().hex
    parts = [f'name="response_format"\r\n\r\n{response_format}'.encode()]
    parts.append(b'name="file"; filename="a"\r\n\r\n' + file.read_bytes())
    head = f"--{boundary}\r\nContent-Disposition: form-data; ".encode()
    body = b"".join(head + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    url = f"{address}/v1/audio/transcriptions"
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
        return answer.read().decode()


def metric(address: str, name: str) -> float:
    """A number that the server tells."""
    with urllib.request.urlopen(f"{address}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def looped(path: pathlib.Path, times: int) -> pathlib.Path:
    """The sample so many times, one behind the other."""
    wav = SAMPLE.read_bytes()
    sound = wav[44:] * times
    sizes = [(4, len(sound) + 36), (40, len(sound))]
    head = bytearray(wav[:44])
    for at, size in sizes:
        head[at : at + 4] = size.to_bytes(4, "little")
    path.write_bytes(bytes(head) + sound)
    return path


# Whoever looks from outside may come too late: notes every text, and whether it could be stopped.
WATCH = """() => {
    const [text, stop] = ["text", "stop"].map((id) => document.getElementById(id));
    window.seen = [];
    const look = () => window.seen.push([text.textContent.trim(), stop.checkVisibility()]);
    new MutationObserver(look).observe(text, { childList: true });
}"""
# Stops it as soon as there is some text.
STOP = """() => {
    const [text, stop] = ["text", "stop"].map((id) => document.getElementById(id));
    const look = (_, observer) => {
        if (!text.textContent || !stop.checkVisibility()) return;
        observer.disconnect();
        stop.click();
    };
    new MutationObserver(look).observe(text, { childList: true });
}"""


def submit(page: Page, path: pathlib.Path):
    """Chooses a recording and has it transcribed."""
    page.set_input_files("#file", path)
    page.get_by_role("button", name="Transcribe").click()


def uses(page: Page, address: str, folder: pathlib.Path, pictures: pathlib.Path | None):
    """Yields the name of each thing that is as it should be."""

    def picture(name: str):
        if pictures:
            page.screenshot(path=pictures / f"page-{name}.png", full_page=True)

    page.goto(address)
    expect(page).to_have_title("Tilewright")
    expect(page.locator("#model")).to_have_text("whisper-base")
    expect(page.get_by_role("button", name="Transcribe")).to_be_disabled()
    picture("empty")
    yield "opens, shows the model"

    talk = looped(folder / "talk.wav", 10)
    text = page.locator("#text")
    page.evaluate(WATCH)
    submit(page, talk)
    expect(text).not_to_have_text("")
    picture("running")
    expect(page.locator("#status")).to_contain_text("Done: ", timeout=120_000)
    expect(page.locator("#status")).to_contain_text("× real time")
    whole = json.loads(ask(address, talk, "json"))["text"].strip()
    assert text.inner_text().strip() == whole
    during = [said for said, can_stop in page.evaluate("window.seen") if can_stop]
    assert all(whole.startswith(said) for said in during), during
    assert any(0 < len(said) < len(whole) for said in during), "all came at once"
    picture("done")
    yield "reads along: text comes bit by bit and is the API's"

    for value in ["srt", "vtt"]:
        page.get_by_label("Format").select_option(value)
        shown = text.evaluate("box => box.textContent")
        assert shown == ask(address, talk, value), value
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        assert download.value.suggested_filename == f"talk.{value}"
        assert pathlib.Path(download.value.path()).read_text() == shown
    picture("vtt")
    yield "SRT and WebVTT, shown and downloaded, are the API's"

    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == shown
    page.get_by_label("Format").select_option("txt")
    yield "copies"

    data = base64.b64encode(SAMPLE.read_bytes()).decode()
    page.evaluate(
        """data => {
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "dropped.wav"));
            const drop = new DragEvent("drop", { dataTransfer: transfer, bubbles: true });
            document.getElementById("drop").dispatchEvent(drop);
        }""",
        data,
    )
    expect(page.locator("#name")).to_contain_text("dropped.wav")
    page.get_by_label("Task").select_option("translations")
    page.get_by_label("Language").select_option("de")
    page.get_by_role("button", name="Transcribe").click()
    expect(page.locator("#status")).to_contain_text("german")
    page.get_by_label("Task").select_option("transcriptions")
    page.get_by_label("Language").select_option("")
    yield "takes what is dropped, task and language"

    page.evaluate(STOP)
    submit(page, looped(folder / "long.wav", 60))
    expect(page.locator("#status")).to_have_text("Stopped.")
    for _ in range(200):
        if metric(address, "tilewright_transcriptions_running") == 0:
            break
        page.wait_for_timeout(50)
    assert metric(address, "tilewright_transcriptions_running") == 0
    yield "stops, on the server too"

    page.reload()
    expect(page.locator("#text")).to_have_text("")
    wrong = folder / "wrong.wav"
    wrong.write_text("this is no sound")
    submit(page, wrong)
    expect(page.get_by_role("alert")).to_contain_text("is not a sound file")
    picture("error")
    submit(page, SAMPLE)
    expect(page.locator("#status")).to_contain_text("Done: ")
    expect(page.get_by_role("alert")).to_be_hidden()
    yield "says what is wrong with a file, and forgets it"

    page.reload()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    names = page.evaluate(
        """() => [...document.querySelectorAll("input:not([hidden]), select, button")]
            .filter((e) => !(e.labels?.length || e.textContent.trim() || e.ariaLabel))
            .map((e) => e.id)"""
    )
    assert names == [], names
    yield "can be used from the keyboard, and everything has a name"


def uses_token(page: Page, address: str):
    """The same for a page whose server wants a token."""
    page.goto(address)
    submit(page, SAMPLE)
    expect(page.get_by_role("alert")).to_contain_text("token")
    assert page.evaluate("document.activeElement.id") == "token"
    page.get_by_label("Token").fill("secret")
    page.get_by_role("button", name="Transcribe").click()
    expect(page.locator("#status")).to_contain_text("Done: ")
    yield "asks for a token, and works with it"


def main():
    """Runs all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary")
    parser.add_argument("--screenshots", type=pathlib.Path)
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    arguments = parser.parse_args()
    folder = pathlib.Path(os.environ.get("TMPDIR", "/tmp")) / f"tilewright-page-{os.getpid()}"
    folder.mkdir()
    complaints, passed = [], 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=arguments.chromium, args=["--no-sandbox"]
        )

        def open_page(colours: str) -> Page:
            context = browser.new_context(
                color_scheme=colours,
                permissions=["clipboard-read", "clipboard-write"],
                viewport={"width": 900, "height": 760},
            )
            page = context.new_page()
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("request", lambda request: outside(request.url))
            return page

        def outside(url: str):
            if not url.startswith(("http://127.0.0.1:", "data:", "blob:")):
                complaints.append(f"something from elsewhere: {url}")

        with server(arguments.binary, "--max-tokens", "24") as address:
            for colours in ["light", "dark"]:
                pictures = arguments.screenshots and arguments.screenshots / colours
                if pictures:
                    pictures.mkdir(parents=True, exist_ok=True)
                for name in uses(open_page(colours), address, folder, pictures):
                    print("ok", colours, name)
                    passed += 1
        # A refused request is a message of the console; so much is right.
        refused = [text for text in complaints if "400 (Bad Request)" in text]
        assert len(complaints) == len(refused) == 2, complaints
        complaints.clear()
        with server(arguments.binary, "--max-tokens", "8", token="secret") as address:
            for name in uses_token(open_page("light"), address):
                print("ok", name)
                passed += 1
        refused = [text for text in complaints if "401 (Unauthorized)" in text]
        assert len(complaints) == len(refused) == 2, complaints
        version = browser.version
        browser.close()
    shutil.rmtree(folder)
    print(json.dumps({"chromium": version, "passed": passed}))


if __name__ == "__main__":
    main()
