(() => {
  "use strict";
  for (const box of document.querySelectorAll("[data-filter]")) {
    const rows = document.querySelectorAll("#" + box.dataset.filter + " > details");
    const empty = document.querySelector("#" + box.dataset.filter + " > .none");
    const apply = () => {
      const wanted = box.value.trim().toLowerCase();
      let shown = 0;
      for (const row of rows) {
        const hit = !wanted || row.textContent.toLowerCase().includes(wanted);
        row.hidden = !hit;
        shown += hit;
      }
      empty.hidden = shown > 0;
    };
    box.hidden = false;
    box.addEventListener("input", apply);
  }
  const opened = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (opened && opened.tagName === "DETAILS") opened.open = true;
})();
