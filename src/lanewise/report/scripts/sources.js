// Where images come from besides the examples: files and the pad. And how one is shown.

function paintImage(canvas, pixels, { rows, columns, channels, range: [low, high] }) {
  const context = canvas.getContext("2d"),
    image = context.createImageData(columns, rows);
  const level = (n, i) => (255 * (pixels[n * channels + (channels < 3 ? 0 : i)] - low)) / (high - low);
  for (let n = 0; n < rows * columns; n++) image.data.set([level(n, 0), level(n, 1), level(n, 2), 255], 4 * n);
  context.putImageData(image, 0, 0);
}

// Files that are chosen, dropped or pasted.
function takeFiles(root, input, image, take) {
  const first = (files) => [...files].find((file) => file.type.startsWith("image/")) ?? files[0];
  const taken = (files) => {
    const file = first(files);
    if (file) take(file, file.name || "pasted image");
  };
  input.addEventListener("change", () => {
    taken(input.files);
    input.value = "";
  });
  const over = (is) => (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    root.classList.toggle("live-over", is);
  };
  root.addEventListener("dragover", over(true));
  root.addEventListener("dragleave", over(false));
  root.addEventListener("drop", (event) => {
    over(false)(event);
    taken(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => {
    if (!event.clipboardData.files.length) return;
    event.preventDefault();
    taken(event.clipboardData.files);
  });
}

// Returns a function that puts a new image on the pad, to be drawn on, unless the pad is for digits and the like.
function startDrawing(find, data, drawn, image) {
  const { drawing } = data,
    colour = find("colour"),
    settle = find("settle");
  let waiting = false;
  const changed = () => {
    if (waiting) return;
    waiting = true; // at most once a frame
    requestAnimationFrame(() => {
      waiting = false;
      drawn(pad.image(settle.checked));
    });
  };
  const pad = drawingPad(data.image, drawing, () => (data.image.channels === 1 ? null : colour.value), changed);
  find("pad").append(pad.element);
  find("clear").addEventListener("click", () => {
    pad.clear();
    changed();
  });
  find("copy").addEventListener("click", () => {
    pad.copy(image);
    settle.checked = false;
  });
  settle.addEventListener("change", changed);
  find("settle-label").hidden = !drawing.box;
  settle.checked = Boolean(drawing.box);
  find("colour-label").hidden = data.image.channels === 1;
  return () => {
    if (!drawing.box) pad.copy(image);
  };
}
