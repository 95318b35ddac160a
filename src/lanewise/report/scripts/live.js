// The live part of the page: one image goes in, the answer and all maps follow, and every value can be asked after.

function startLive(root, data, kernels) {
  const network = makeNetwork(data, kernels);
  network.preprocessing = { scale: data.scale, offset: data.offset };
  const find = (name) => root.querySelector(`[data-live="${name}"]`);
  const [answer, status, image, working] = ["answer", "status", "image", "working"].map(find);
  const shade = find("shade"),
    frame = find("frame");
  const state = { place: null, pinned: false, caption: "" };
  network.run(network.pixels); // once for nothing: the first run is slow, as the browser compiles

  // The maps

  const alone = find("alone");
  const pointing = makePointing({ point, pin, alone: () => alone.checked });
  alone.addEventListener("change", () => views.forEach((view) => view.update()));
  const views = network.nodes.flatMap((node, n) =>
    network.shown(n) === n ? [layerView(network, n, data.classes, pointing)] : [],
  );
  const viewOf = (number) => views.find((view) => view.number === number);
  find("layers").append(...views.map((view) => view.element));

  // An image comes in

  // `expected` are Python's probabilities for it, where they are known.
  function show(pixels, caption, expected = null) {
    const started = performance.now();
    network.run(pixels);
    const seconds = (performance.now() - started) / 1000;
    state.caption = caption;
    paintImage(image, network.pixels, data.image);
    image.setAttribute("aria-label", `${caption}, as the network sees it`);
    find("caption").textContent = caption;
    tellAnswer(seconds, expected);
    for (const view of views) view.update();
    if (state.place) tell();
  }

  function tellAnswer(seconds, expected) {
    const probabilities = network.probabilities();
    const order = range(probabilities.length).sort((a, b) => probabilities[b] - probabilities[a]);
    const shown = probabilities.length <= 12 ? range(probabilities.length) : order.slice(0, 10);
    answer.replaceChildren(
      ...shown.map((n) => {
        const bar = make("span", { class: "live-bar" });
        bar.style.width = `${100 * probabilities[n]}%`;
        return make(
          "li",
          { class: n === order[0] ? "live-best" : null },
          make("span", { class: "live-class" }, data.classes[n]),
          make("span", { class: "live-track", "aria-hidden": "true" }, bar),
          make("span", { class: "live-share" }, percent(probabilities[n])),
        );
      }),
    );
    find("short").replaceChildren(
      make("span", {}, "answer"),
      data.classes[order[0]],
      make("span", {}, percent(probabilities[order[0]])),
    );
    const rest = probabilities.length - shown.length;
    const lines = [`Computed in ${(1000 * seconds).toFixed(1)} ms by this page.`];
    if (data.tta)
      lines.push("The answer is that to the image and its mirror image together; the layers show the image alone.");
    if (rest) lines.unshift(`${counted(rest, "other class", "other classes")} not shown.`);
    if (expected) {
      const apart = Math.max(...expected.map((p, n) => Math.abs(p - probabilities[n])));
      lines.push(
        apart <= 1e-4
          ? `Lanewise in Python gives the same, to within ${wordNumber(Math.max(apart, 1e-7), 1)}.`
          : `Lanewise in Python differs by ${wordNumber(apart)}: do not trust this page.`,
      );
    }
    find("figures").textContent = lines.join(" ");
    clearTimeout(state.saying); // said when the drawing hand rests
    state.saying = setTimeout(() => {
      status.textContent = `${state.caption}: ${data.classes[order[0]]}, ${percent(probabilities[order[0]])}.`;
    }, 500);
  }

  // A neuron is pointed at

  function point(place) {
    if (!state.pinned) select(place);
  }

  function pin(place) {
    const again = state.pinned && JSON.stringify(place) === JSON.stringify(state.place);
    state.pinned = !again;
    select(place);
  }

  function select(place) {
    clearTimeout(state.saying); // what was asked for last is what is said
    state.place = place;
    tell();
  }

  function release() {
    Object.assign(state, { place: null, pinned: false });
    unmark();
    find("hint").hidden = false;
    working.replaceChildren();
  }

  function unmark() {
    for (const view of views) view.unmark();
    shade.getContext("2d").clearRect(0, 0, shade.width, shade.height);
    frame.hidden = true;
  }

  function tell() {
    const { number, channel, row, column } = state.place;
    const told = tellNeuron(network, data.classes, (n) => viewOf(n).most, state.place);
    find("hint").hidden = true;
    working.replaceChildren(
      ...told.elements,
      make(
        "p",
        { class: "live-note live-pinning" },
        state.pinned ? "Pinned: click it again or press Escape to release it." : "Click or press Enter to pin it.",
      ),
    );
    status.textContent = told.summary;
    unmark();
    viewOf(number).mark("self", channel, { rows: [row, row], columns: [column, column] });
    for (const read of told.reads)
      if (read.rows[1] >= read.rows[0])
        for (const i of wholeFeatures(read)) viewOf(read.number).mark("read", i, read);
    markField(told.field);
  }

  // Features that are read altogether are not framed one by one.
  const wholeFeatures = ({ number, channels }) =>
    network.nodes[number].features && channels.length > 1 ? [] : channels;

  function markField({ rows, columns }) {
    if (!rows.length || !columns.length) return;
    const context = shade.getContext("2d");
    context.fillRect(0, 0, shade.width, shade.height); // all but the field is shaded
    for (const r of rows) for (const c of columns) context.clearRect(c, r, 1, 1);
    const share = (n, of) => `${(100 * n) / of}%`;
    Object.assign(frame.style, {
      top: share(rows[0], shade.height),
      height: share(rows.at(-1) - rows[0] + 1, shade.height),
      left: share(columns[0], shade.width),
      width: share(columns.at(-1) - columns[0] + 1, shade.width),
    });
    frame.hidden = false;
  }

  // Where images come from

  const chosen = (button) =>
    root.querySelectorAll(".live-example").forEach((one) => one.setAttribute("aria-pressed", one === button));
  const examples = data.examples.map((example) => {
    const pixels = pixelsOf(example.pixels, data.image.type);
    const label = [example.name, example.label === null ? null : `labelled ${example.label}`]
      .filter(Boolean)
      .join(", ");
    const thumbnail = make("canvas", {
      width: data.image.columns,
      height: data.image.rows,
      "aria-hidden": "true",
    });
    paintImage(thumbnail, pixels, data.image);
    const button = make(
      "button",
      {
        type: "button",
        class: "live-example",
        "aria-pressed": "false",
        "aria-label": label || "example",
        title: label,
        onclick: () => {
          chosen(button);
          show(pixels, label || "example", example.probabilities);
          mirror();
        },
      },
      thumbnail,
    );
    return button;
  });
  find("examples").append(...examples);
  takeFiles(root, find("file"), data.image, async (blob, name) => {
    try {
      const pixels = rawPixels(await imageFromFile(blob, data.image), data.image);
      chosen(null);
      show(pixels, name);
      mirror();
      find("problem").textContent = "";
    } catch {
      find("problem").textContent =
        `${name} cannot be read by this browser; it reads PNG, JPEG, GIF, WebP and BMP.`;
    }
  });
  const mirror = startDrawing(
    find,
    data,
    (pixels) => {
      chosen(null);
      show(rawPixels(pixels, data.image), "your drawing");
    },
    image,
  );

  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape") release();
  });
  for (const scheme of [darkScheme, printing])
    scheme.addEventListener("change", () => {
      for (const view of views) view.update();
      if (state.place) tell();
    });
  if (examples.length) examples[0].click();
  else
    show(
      rawPixels(new Uint8Array(network.pixels.length).fill(data.drawing.paper), data.image),
      "an empty image",
    );
  return {
    network,
    show,
    select,
    receptiveField: (...place) => receptiveField(network, ...place),
    workingOf: (...place) => workingOf(network, ...place),
  };
}

// Mouse, finger and keys on the maps: `point` while passing over, `pin` by a click or Enter.
function makePointing({ point, pin, alone }) {
  return {
    alone, // whether each map is coloured by itself
    listen(canvas, layer, index) {
      const here = { row: 0, column: 0 };
      const at = (event) => {
        const box = canvas.getBoundingClientRect();
        const inside = (share, count) => Math.min(count - 1, Math.max(0, Math.floor(share * count)));
        return {
          row: inside((event.clientY - box.top) / box.height, layer.height),
          column: inside((event.clientX - box.left) / box.width, layer.width),
        };
      };
      const go = (place, act) => {
        if (!layer.exists(index, place.row, place.column)) return;
        Object.assign(here, place);
        act(layer.neuron(index, here.row, here.column));
      };
      canvas.addEventListener("pointermove", (event) => {
        if (event.pointerType === "mouse") go(at(event), point);
      });
      canvas.addEventListener("click", (event) => go(at(event), pin));
      canvas.addEventListener("focus", () => {
        if (canvas.matches(":focus-visible")) go(here, point);
      });
      canvas.addEventListener("keydown", (event) => {
        const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
        const maps = { PageUp: -1, PageDown: 1 }[event.key];
        if (moves) go({ row: here.row + moves[0], column: here.column + moves[1] }, point);
        else if (maps && layer.maps[index + maps]) moveFocus(canvas, layer.maps[index + maps].canvas);
        else if (event.key === "Enter" || event.key === " ") go(here, pin);
        else return;
        event.preventDefault();
      });
    },
  };
}

// Tab goes to a layer and out of it again; within it, one map at a time can have the focus.
function moveFocus(from, to) {
  from.tabIndex = -1;
  to.tabIndex = 0;
  to.focus();
}
