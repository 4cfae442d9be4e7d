// Only comfort: without it all can be read and opened, too.
const search = document.getElementById("search");
const things = [...document.querySelectorAll("[data-words]")];
const words = things.map((t) => t.dataset.words.toLowerCase());
search.hidden = false;
search.addEventListener("input", () => {
  const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  things.forEach((thing, i) => {
    thing.hidden = !wanted.every((w) => words[i].includes(w));
    found += !thing.hidden;
  });
  document.querySelectorAll("main section").forEach((s) => {
    s.hidden = !s.querySelector("[data-words]:not([hidden])");
  });
  document.querySelectorAll("nav li").forEach((li) => {
    const of = document.getElementById(li.firstChild.hash.slice(1));
    li.hidden = of.hidden;
  });
  document.getElementById("none").hidden = found > 0;
});
document.addEventListener("keydown", (e) => {
  if (e.key === "/" && document.activeElement !== search) {
    e.preventDefault();
    search.focus();
  }
});
// A link to what is folded opens it.
const open = () => {
  const to = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (to && to.tagName === "DETAILS") to.open = true;
  if (to) to.scrollIntoView();
};
addEventListener("hashchange", open);
open();
