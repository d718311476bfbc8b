// Building the page.  Everything that comes from the API goes in as a text node or an attribute, never as markup.

// h("a", {class: "x", href: "#/", on: {click}}, "text", node, [more], null)
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === "value") {
      element.value = value;
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value);
    }
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(element, child);
    else if (child !== null && child !== undefined && child !== false) element.append(child);
  }
}

export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

// Runs `change`, which may make parts of the page anew; what had the focus has it afterwards, if it is still there.
export function keepingFocus(change) {
  const id = document.activeElement?.id;
  change();
  if (id && document.activeElement?.id !== id) document.getElementById(id)?.focus({preventScroll: true});
}

// A table with headings `columns`, each {title, class}; `rows` are arrays of cells.  Roles are said, since on a narrow screen
// the style makes blocks of it, and browsers then forget what it was.
export function table(caption, columns, rows, kind) {
  return h("table", {role: "table", class: kind},
    h("caption", {class: "unseen"}, caption),
    h("thead", {role: "rowgroup"}, h("tr", {role: "row"},
      columns.map(({title, class: name}) => h("th", {role: "columnheader", scope: "col", class: name}, title)))),
    h("tbody", {role: "rowgroup"}, rows.map((cells) => h("tr", {role: "row"},
      cells.map((cell, index) => h(index ? "td" : "th", {role: index ? "cell" : "rowheader", scope: index ? null : "row",
        class: columns[index].class, "data-title": columns[index].title}, h("div", null, cell)))))));
}

export function button(label, click, {id, kind, name} = {}) {
  return h("button", {type: "button", id, class: kind, "aria-label": name, on: {click}}, label);
}

export function badge(text, kind) {
  return h("span", {class: `badge ${kind ?? ""}`}, text);
}

// A time: of today the hour, else the day too; all of it as its title.
export function moment(text) {
  const time = new Date(text), isToday = time.toDateString() === new Date().toDateString();
  return h("time", {datetime: text, title: time.toLocaleString()},
    isToday ? time.toLocaleTimeString() : time.toLocaleString(undefined, {dateStyle: "medium", timeStyle: "short"}));
}

export function count(n, one, many = `${one}s`) {
  return `${n} ${n === 1 ? one : many}`;
}

// "a, b and 3 more"
export function listed(names, max = 5) {
  if (names.length > max) return `${names.slice(0, max).join(", ")} and ${names.length - max} more`;
  return names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names.at(-1)}` : names.join("");
}
