"use strict";
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const plots = new Map();
  let printing = false;

  const isDark = () => !printing && (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);

  // Text and lines of charts as the page's: plotly has no notion of CSS variables.
  const colors = () => {
    const night = isDark();
    return { text: night ? "#e4e9ee" : "#1a2027", line: night ? "#343d49" : "#d5dbe2", page: night ? "#1a2028" : "#ffffff" };
  };

  const themed = (layout) => {
    const { text, line, page } = colors();
    const update = { "font.color": text, "font.family": getComputedStyle(document.body).fontFamily,
      "hoverlabel.bgcolor": page, "hoverlabel.bordercolor": line, "hoverlabel.font.color": text };
    for (const axis of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
      update[`${axis}.gridcolor`] = line;
      update[`${axis}.linecolor`] = line;
      update[`${axis}.tickcolor`] = line;
    }
    return update;
  };

  // In small charts names would overlap: they show on hovering only.
  const narrow = (element) => element.clientWidth < 330;

  const draw = (element, figure) => {
    const layout = structuredClone(figure.layout);
    for (const [path, value] of Object.entries(themed(layout))) {
      const keys = path.split(".");
      const last = keys.pop();
      keys.reduce((part, key) => (part[key] ??= {}), layout)[last] = value;
    }
    const data = structuredClone(figure.data);
    for (const trace of data) {
      if (trace.mode === "markers+text" && narrow(element)) trace.mode = "markers";
    }
    Plotly.newPlot(element, data, layout, { displayModeBar: false, responsive: true, displaylogo: false });
    plots.set(element.id, { element, figure });
  };

  const retheme = () => {
    button.setAttribute("aria-pressed", String(isDark()));
    for (const { element, figure } of plots.values()) Plotly.relayout(element, themed(figure.layout));
  };

  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("paredown-theme", root.dataset.theme); } catch { /* a file has no storage */ }
    retheme();
  });
  try {
    const kept = localStorage.getItem("paredown-theme");
    if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  } catch { /* likewise */ }
  dark.addEventListener("change", retheme);
  button.setAttribute("aria-pressed", String(isDark()));

  for (const boxes of document.querySelectorAll("fieldset.choice")) {
    boxes.addEventListener("change", (event) => {
      for (const id of boxes.dataset.plots.split(" ")) {
        const plot = plots.get(id);
        if (!plot) continue;
        const index = plot.element.data.findIndex((trace) => trace.name === event.target.value);
        if (index >= 0) Plotly.restyle(plot.element, { visible: event.target.checked }, [index]);
      }
    });
  }

  // A link to something inside a closed part opens it.
  const reveal = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const closed = target && target.closest("details:not([open])");
    if (closed) { closed.open = true; target.scrollIntoView(); }
  };
  addEventListener("hashchange", reveal);
  // Once more for a link that was followed before, which changes nothing.
  document.addEventListener("click", (event) => {
    if (event.target.closest("a[href^='#']")) setTimeout(reveal);
  });

  for (const copy of document.querySelectorAll("button.copy")) {
    copy.addEventListener("click", async () => {
      const code = document.getElementById(copy.dataset.copy);
      try {
        await navigator.clipboard.writeText(code.textContent);
        copy.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        copy.textContent = "Selected";
      }
      setTimeout(() => { copy.textContent = "Copy"; }, 1500);
    });
  }

  // On paper a chart has the width of its column, and the light theme's colours.
  addEventListener("beforeprint", () => {
    printing = true;
    root.dataset.screenTheme = root.dataset.theme ?? "";
    root.dataset.theme = "light";
    retheme();
    for (const { element } of plots.values()) {
      Plotly.relayout(element, { width: element.closest(".grid") ? 330 : 680 });
    }
  });
  addEventListener("afterprint", () => {
    printing = false;
    if (root.dataset.screenTheme) root.dataset.theme = root.dataset.screenTheme;
    else delete root.dataset.theme;
    delete root.dataset.screenTheme;
    for (const { element } of plots.values()) Plotly.relayout(element, { width: null, autosize: true });
    retheme();
  });

  const unpack = async () => {
    const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent.trim()), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const code = document.createElement("script");
    code.textContent = await new Response(stream).text();
    document.head.append(code);
  };

  unpack().then(() => {
    for (const json of document.querySelectorAll("script[data-plot]")) {
      draw(document.getElementById(json.dataset.plot), JSON.parse(json.textContent));
    }
    root.dataset.drawn = String(plots.size);
    reveal();
  }).catch((error) => {
    document.getElementById("no-charts").hidden = false;
    root.dataset.drawn = "none";
    console.error(error);
  });
})();
