// Making elements, and wording numbers.

// make("p", {class: "x", onclick: f}, "text", child, ...): text is never read as markup.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child));
  return element;
}

// Three figures, with a real minus sign.
function wordNumber(x, figures = 3) {
  if (x === 0) return "0";
  const size = Math.abs(x);
  const text = size >= 1e5 || size < 1e-4 ? x.toExponential(figures - 1) : String(Number(x.toPrecision(figures)));
  return text.replaceAll("-", "−");
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;
const counted = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
// "row 3" or "rows 3 to 5", counted from 1
const span = (word, first, last) =>
  first === last ? `${word} ${first + 1}` : `${word}s ${first + 1} to ${last + 1}`;
