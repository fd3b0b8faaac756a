"""A page with augmented images of a folder: `python -m fastaug preview`.

The page is one file: images are in it, and nothing is loaded from elsewhere.
"""

import base64
import contextlib
import html
import http.server
import inspect
import io
import itertools
import os
import pathlib
import stat
import sys
import time
import warnings

import numpy as np
from PIL import Image

from fastaug.data import decode
from fastaug.data.directory import folders_in
from fastaug.keras_api.function_results import name_of
from fastaug.keras_api.generator import ImageDataGenerator
from fastaug.show.command import FINE, FLOW_ARGUMENTS, FOUND, GENERATOR_ARGUMENTS, shown
from fastaug.show.plotting import displayable
from fastaug.warn import UsageWarning

# Seconds to measure for.
_MEASURED_SECONDS = 2.0

# Seconds for a file, of which a page needs only some.
_TIMEOUT = 10.0

# Files to try for one that can be read, for each image of the page.
_TRIES = 8

_STATISTICS = ("featurewise_center", "featurewise_std_normalization", "zca_whitening")


def preview(
    directory,
    *,
    output="preview.html",
    images=4,
    variants=6,
    serve=None,
    function_place=None,
    **settings,
):
    """Writes a page with augmented images of a folder, and prints where.

    Args:
        directory: Folder of images, or of folders of them.
        output: Path of the page.
        images: Number of images.
        variants: Number of variants of each.
        serve: Port of localhost to show the page at until Ctrl-C; 0: any. None: not at all.
        function_place: `(module, name)`, where a `preprocessing_function` is; None: as it says.
        **settings: Arguments of `ImageDataGenerator` and of its `flow_from_directory`.

    Returns:
        The exit status.

    Raises:
        OSError: If the folder cannot be listed, or the page cannot be written.
        ValueError: If a setting is wrong.
    """
    augmenting = {name: settings[name] for name in GENERATOR_ARGUMENTS if name in settings}
    reading = {name: settings[name] for name in FLOW_ARGUMENTS if name in settings}
    generator = ImageDataGenerator(**augmenting)
    flow_settings = {**_where(directory), **reading}
    files = _quiet_flow(generator, flow_settings)
    originals, names = _originals(files.filepaths, images, reading, generator.data_format)
    if not len(originals):
        print(f"No image in {shown(directory)} can be read by a flow.", file=sys.stderr)
        return FOUND
    if _has_statistics(augmenting):
        generator.fit(originals)
    with generator.flow(
        np.repeat(originals, variants, axis=0),
        batch_size=len(originals) * variants,
        shuffle=False,
        seed=reading.get("seed"),
    ) as flow:
        made = displayable(next(flow), generator.data_format)
    pace = _pace(generator, files)
    grid = made.reshape(len(originals), variants, *made.shape[1:])
    page = _page(
        directory, displayable(originals, generator.data_format), names, grid, pace,
        augmenting, flow_settings, function_place,
    )  # fmt: skip
    path = pathlib.Path(output).resolve()
    over = ", over the file that was there" if path.exists() else ""
    path.write_text(page, encoding="utf-8")
    print(
        f"Wrote {shown(path)}{over}: {len(originals)} images, {variants} variants of each; {pace}."
    )
    if serve is not None:
        _serve(page, serve)
    return FINE


def _has_statistics(augmenting):
    """Whether settings need `fit`."""
    return any(augmenting.get(name) for name in _STATISTICS)


def _where(directory):
    """Returns how a flow is told to read a folder, with or without folders in it."""
    if folders_in(directory):
        return {"directory": os.fspath(directory)}
    whole = pathlib.Path(directory).resolve()  # the one class of the folder above it
    return {"directory": str(whole.parent), "classes": [whole.name], "class_mode": None}


def _quiet_flow(generator, flow_settings):
    """Returns a flow over the files of a folder; prints what it warns of."""
    with (
        warnings.catch_warnings(record=True) as caught,
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("always")
        flow = generator.flow_from_directory(
            **{**flow_settings, "class_mode": None}, on_error="skip", timeout=_TIMEOUT
        )
    for each in caught:
        if issubclass(each.category, UsageWarning):
            print(shown(str(each.message)), file=sys.stderr)
    return flow


def _originals(filepaths, count, reading, data_format):
    """Returns some images of a flow's files as it reads them, and their paths."""
    paths = sorted(filepaths)
    count = min(count, len(paths))
    target = decode.Target(
        *reading.get("target_size", _default("target_size")),
        **{
            name: reading.get(name, _default(name))
            for name in ("color_mode", "interpolation", "keep_aspect_ratio")
        },
    )
    # spread over all of them, and if some cannot be read, over those that lie between
    steps = [np.linspace(0, len(paths) - 1, count * k, dtype=int) for k in range(1, _TRIES + 1)]
    tried = dict.fromkeys(itertools.chain.from_iterable(steps)) if paths else ()
    images, names = [], []
    for position in tried:
        path = paths[position]
        out = np.empty(target.shape, target.dtype)
        with contextlib.suppress(Exception):
            if stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 (a FIFO would be waited for)
                decode.decode(path, target, out)
                images.append(out)
                names.append(path)
        if len(images) == count:
            break
    stacked = np.array(images).reshape(len(images), *target.shape)
    return (stacked if data_format == "channels_last" else np.moveaxis(stacked, 3, 1)), names


def _default(name):
    return inspect.signature(ImageDataGenerator.flow_from_directory).parameters[name].default


def _pace(generator, flow):
    """Returns in words how many images per second a flow gives, and closes it."""
    with warnings.catch_warnings(), flow:
        warnings.simplefilter("ignore")  # of files that cannot be read: `check` lists them
        next(flow)  # processes start
        count, start = 0, time.perf_counter()
        while (seconds := time.perf_counter() - start) < _MEASURED_SECONDS:
            count += len(next(flow))
    return (
        f"{count / seconds:,.0f} images per second from these files on {generator._threads} cores"
    )


# ---- the page ----


def _page(directory, originals, names, grid, pace, augmenting, flow_settings, function_place):
    rows = []
    for original, name, variants in zip(originals, names, grid, strict=True):
        cells = "".join(f'<td><img src="{_uri(image)}" alt="a variant"></td>' for image in variants)
        rows.append(
            f'<tr><th><img src="{_uri(original)}" alt="the file">'
            f"<span>{html.escape(shown(os.path.relpath(name, directory)))}</span></th>{cells}</tr>"
        )
    listed = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(_written(value))}</dd>"
        for name, value in [*augmenting.items(), *flow_settings.items()]
    )
    return _PAGE.format(
        title=html.escape(shown(directory)),
        rows="\n".join(rows),
        settings=listed,
        code=html.escape(code_for(augmenting, flow_settings, function_place)),
        pace=html.escape(pace),
        statistics=_STATISTICS_OF_SHOWN if _has_statistics(augmenting) else "",
    )


def _uri(image):
    """Returns an image of floats from 0 to 1 as a URI with all of its bytes."""
    pixels = (image * 255).round().astype(np.uint8)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    file = io.BytesIO()
    if picture.mode == "RGBA":
        kind = "png"
        picture.save(file, kind)
    else:
        kind = "jpeg"
        picture.save(file, kind, quality=95, subsampling=0)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def _written(value):
    """Returns a value as it is written in code."""
    return name_of(value) if callable(value) else repr(value)


def code_for(augmenting, flow_settings, function_place=None):
    """Returns the code that makes a generator and its flow, and fits it if its settings need that.

    Args:
        augmenting: Arguments of `ImageDataGenerator`.
        flow_settings: Arguments of `flow_from_directory`.
        function_place: `(module, name)` of the `preprocessing_function`. None: as it says.
    """
    lines = ["from fastaug import ImageDataGenerator"]
    function = augmenting.get("preprocessing_function")
    if function is not None:
        module, name = function_place or (function.__module__, function.__qualname__)
        lines.append(f"from {module} import {name.partition('.')[0]}")
    lines.append("")
    for target, call, arguments in (
        ("generator", "ImageDataGenerator", augmenting),
        ("flow", "generator.flow_from_directory", flow_settings),
    ):
        inside = [
            f"{key}={name if callable(value) else _written(value)}"
            for key, value in arguments.items()
        ]
        whole = f"{target} = {call}({', '.join(inside)})"
        if len(whole) > 60:
            whole = f"{target} = {call}(\n" + "".join(f"    {each},\n" for each in inside) + ")"
        lines.append(whole)
    if _has_statistics(augmenting):
        lines.append("generator.fit(flow)")
    return "\n".join(lines) + "\n"


_STATISTICS_OF_SHOWN = (
    "<p>The statistics of this page are those of the images shown. The code takes them "
    "from the whole folder.</p>\n"
)

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>fastaug: {title}</title>
<link rel="icon" href="data:,">
<style>
:root {{ color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }}
body {{ margin: 1.5rem; }}
h1 {{ font-size: 1.2rem; margin: 0 0 1rem; overflow-wrap: anywhere; }}
h2 {{ font-size: 1rem; margin: 1.2rem 0 .3rem; }}
main {{ display: flex; gap: 2rem; align-items: flex-start; flex-wrap: wrap; }}
#grid {{ flex: 3 1 36rem; min-width: 0; overflow-x: auto; }}
aside {{ flex: 1 1 18rem; min-width: 0; }}
table {{ border-collapse: collapse; width: 100%; table-layout: fixed; }}
td, th {{ padding: 2px; vertical-align: top; font-weight: normal; min-width: 5rem; }}
th {{ padding-right: 12px; }}
img {{ width: 100%; display: block; border-radius: 3px; }}
th span {{ display: block; font-size: .75rem; overflow-wrap: anywhere; }}
dl {{ display: grid; grid-template-columns: auto 1fr; gap: 0 1rem; margin: 0; }}
dd {{ margin: 0; font-family: ui-monospace, monospace; overflow-wrap: anywhere; }}
pre {{ padding: .8rem; background: #8882; border-radius: 4px; overflow-x: auto; }}
pre {{ font-size: .85rem; }}
</style>
</head>
<body>
<h1>{title}</h1>
<main>
<section id="grid"><table>
{rows}
</table></section>
<aside>
<h2>Pace</h2>
<p id="pace">{pace}</p>
<h2>Settings</h2>
<dl id="settings">{settings}</dl>
{statistics}<h2>Code <button id="copy" type="button">Copy</button></h2>
<pre><code id="code">{code}</code></pre>
</aside>
</main>
<script>
document.getElementById("copy").onclick = async (event) => {{
  const code = document.getElementById("code");
  try {{
    await navigator.clipboard.writeText(code.textContent);
    event.target.textContent = "Copied";
  }} catch (error) {{
    getSelection().selectAllChildren(code);
  }}
}};
</script>
</body>
</html>
"""


def _serve(page, port):
    """Shows a page at a port of localhost until Ctrl-C."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            data = page.encode() if self.path == "/" else b""
            self.send_response(200 if data else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments):
            """Prints nothing for a request."""

    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise OSError(f"port {port} of localhost: {error.strerror}") from error
    with server:
        print(f"http://127.0.0.1:{server.server_port}/ shows it, until Ctrl-C.", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
