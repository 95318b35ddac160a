// The pad: drawing with mouse, finger, pen, or the arrow keys.

const PAD = 280; // pixels of the longer side, or less: whole pixels for each of the network's

// {element, clear(), copy(source canvas), image(settle)}; `changed()` is called whenever something was drawn.
function drawingPad(image, drawing, colourOf, changed) {
  const scale = Math.max(1, Math.floor(PAD / Math.max(image.rows, image.columns)));
  const canvas = make("canvas", {
    width: image.columns * scale,
    height: image.rows * scale,
    class: "live-pad",
    tabindex: 0,
    role: "application",
    "aria-roledescription": "drawing pad",
    "aria-describedby": "live-pad-keys",
    "aria-label": "Draw here",
  });
  const side = Math.max(canvas.width, canvas.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const grey = (level) => `rgb(${level} ${level} ${level})`;
  let last = null; // where the pen is down, and the middle of the last stroke

  const spot = make("div", { class: "live-pen", hidden: true }); // shows where keys have moved the pen
  const frame = make("div", { class: "live-frame live-pad-frame" }, canvas, spot);
  const pen = { x: canvas.width / 2, y: canvas.height / 2, down: false }; // moved by keys
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) * canvas.width) / box.width,
      y: ((event.clientY - box.top) * canvas.height) / box.height,
    };
  };
  const start = (at) => {
    last = { at, middle: at };
    stroke(at);
  };
  // Curves from middle to middle of what the pointer reports, so that quick strokes are round, not angular.
  const stroke = (at) => {
    const middle = { x: (last.at.x + at.x) / 2, y: (last.at.y + at.y) / 2 };
    Object.assign(context, {
      strokeStyle: colourOf() ?? grey(drawing.ink),
      lineWidth: Math.max(2, side * drawing.brush),
      lineCap: "round",
    });
    context.beginPath();
    context.moveTo(last.middle.x, last.middle.y);
    context.quadraticCurveTo(last.at.x, last.at.y, middle.x + 0.01, middle.y);
    context.lineTo(at.x + 0.01, at.y);
    context.stroke();
    frame.classList.remove("live-pad-empty");
    last = { at, middle };
    changed();
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    start(place(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last || !canvas.hasPointerCapture(event.pointerId)) return;
    const all = event.getCoalescedEvents?.() ?? [];
    for (const one of all.length ? all : [event]) stroke(place(one));
  });
  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, () => {
      last = null;
    });
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === " ") {
      pen.down = !pen.down;
      if (pen.down) start({ ...pen });
    } else if (moves[event.key]) {
      const step = side / 40,
        [across, down] = moves[event.key];
      pen.x = Math.min(canvas.width, Math.max(0, pen.x + across * step));
      pen.y = Math.min(canvas.height, Math.max(0, pen.y + down * step));
      if (pen.down) stroke({ ...pen });
    } else return;
    event.preventDefault();
    spot.hidden = false;
    spot.classList.toggle("live-pen-down", pen.down);
    Object.assign(spot.style, {
      left: `${(100 * pen.x) / canvas.width}%`,
      top: `${(100 * pen.y) / canvas.height}%`,
    });
    canvas.setAttribute(
      "aria-label",
      `Draw here: pen ${pen.down ? "down" : "up"}, ` +
        `${Math.round((100 * pen.x) / canvas.width)} % across, ${Math.round((100 * pen.y) / canvas.height)} % down`,
    );
  });
  canvas.addEventListener("blur", () => {
    pen.down = false;
    last = null;
    spot.hidden = true;
  });

  const pad = {
    element: frame,
    clear() {
      context.fillStyle = grey(drawing.paper);
      context.fillRect(0, 0, canvas.width, canvas.height);
      frame.classList.add("live-pad-empty");
    },
    copy(source) {
      context.imageSmoothingEnabled = false;
      context.drawImage(source, 0, 0, canvas.width, canvas.height);
      frame.classList.remove("live-pad-empty");
    },
    // The raw image that the network takes; `settle` moves a drawn digit to where the data's digits are.
    image(settle) {
      const drawn = planesOf(context, image.channels);
      return settle ? settled(drawn, drawing, image) : averaged(drawn, scale);
    },
  };
  pad.clear();
  return pad;
}
