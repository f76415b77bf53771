(function () {
  "use strict";
  var NARROW = 660; // panels.WIDE
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  var printing = false;

  function read(id) {
    return JSON.parse(document.getElementById(id).textContent);
  }

  // "xaxis2.domain" or "annotations[3].x" -> the value at that place of the layout.
  function put(layout, path, value) {
    var keys = path.replace(/\[(\d+)\]/g, ".$1").split(".");
    var last = keys.pop();
    var place = layout;
    keys.forEach(function (key) {
      if (place[key] === undefined) place[key] = {};
      place = place[key];
    });
    place[last] = value;
  }

  // The blue that is legible on white is too dark on black.
  function traces(figure) {
    var text = JSON.stringify(figure.data);
    if (dark.matches && !printing) text = text.split("#0072B2").join("#3AA0E8").split("rgba(0,114,178").join("rgba(58,160,232");
    return JSON.parse(text);
  }

  function layoutFor(figure, narrow) {
    var layout = JSON.parse(JSON.stringify(figure.layout));
    var isDark = dark.matches && !printing;
    var colours = layout.template.layout;
    colours.font.color = isDark ? "#d9dde2" : "#2b3036";
    colours.hoverlabel = { bgcolor: isDark ? "#2a3038" : "#ffffff", font: { color: isDark ? "#e6e8eb" : "#1f2328" } };
    colours.modebar = { bgcolor: "rgba(0,0,0,0)", color: "#7f7f7f", activecolor: isDark ? "#ffffff" : "#000000" };
    var patch = narrow && layout.meta && layout.meta.narrow;
    if (patch) Object.keys(patch).forEach(function (path) { put(layout, path, patch[path]); });
    if (narrow) layout.dragmode = false; // a finger on a figure scrolls the page
    return layout;
  }

  var plots = Array.prototype.map.call(document.querySelectorAll(".plot[data-json]"), function (div) {
    return { div: div, figure: read(div.dataset.json) };
  });
  // The buttons are named one by one: the default ones offer to send the figure to a server.
  var buttons = [["toImage", "zoom2d", "pan2d", "resetScale2d"]];
  function configFor(narrow) {
    return { responsive: true, displaylogo: false, plotlyServerURL: "", modeBarButtons: buttons, displayModeBar: narrow ? false : "hover" };
  }

  function draw(plot) {
    var narrow = plot.div.clientWidth < NARROW;
    var layout = layoutFor(plot.figure, narrow);
    plot.narrow = narrow;
    plot.div.style.minHeight = layout.height + "px";
    return Plotly.react(plot.div, traces(plot.figure), layout, configFor(narrow));
  }

  function drawAll() {
    plots.forEach(draw);
  }

  plots.forEach(function (plot) {
    if (!plot.div.dataset.choose) return;
    var select = document.getElementById(plot.div.dataset.choose);
    var stem = plot.div.dataset.json.replace(/\d+$/, "");
    select.parentElement.hidden = false;
    select.addEventListener("change", function () {
      plot.figure = read(stem + select.value);
      plot.div.setAttribute("aria-label", plot.figure.layout.meta.alt);
      draw(plot);
    });
  });

  var waiting = null;
  window.addEventListener("resize", function () {
    clearTimeout(waiting);
    waiting = setTimeout(function () {
      plots.forEach(function (plot) {
        if (plot.narrow !== plot.div.clientWidth < NARROW) draw(plot);
      });
    }, 150);
  });
  dark.addEventListener("change", drawAll);
  window.addEventListener("beforeprint", function () { printing = true; drawAll(); });
  window.addEventListener("afterprint", function () { printing = false; drawAll(); });

  var samples = read("json-samples");
  Array.prototype.forEach.call(document.querySelectorAll(".samples"), function (block) {
    var answers = samples[Number(block.dataset.cell)];
    var slider = block.querySelector("input[type=range]");
    var shown = block.querySelector("output");
    var places = block.querySelectorAll(".steered");
    block.querySelector(".slider").hidden = false;
    slider.addEventListener("input", function () {
      var step = Number(slider.value);
      answers.forEach(function (steps, number) {
        var place = places[number];
        var outcome = place.querySelector(".outcome");
        place.querySelector(".where").textContent = steps[step].label;
        outcome.textContent = steps[step].outcome;
        outcome.className = "outcome " + (steps[step].right ? "right" : "wrong");
        place.querySelector("pre").textContent = steps[step].text;
      });
      shown.textContent = answers[0][step].label;
      slider.setAttribute("aria-valuetext", answers[0][step].label);
    });
  });

  drawAll();
})();
