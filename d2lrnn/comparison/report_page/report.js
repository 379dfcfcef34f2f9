"use strict";
// Under each chart: a slider, which a keyboard moves too, and with it the values of the curves where it stands.
for (const figure of document.querySelectorAll("figure[data-curves]")) {
  const data = JSON.parse(figure.querySelector("script").textContent);
  const reader = figure.querySelector(".reader");
  const slider = reader.querySelector("input");
  const place = reader.querySelector("output");
  const values = figure.querySelectorAll(".legend output");
  const charts = [...figure.querySelectorAll(".chart")].map((svg) => {
    const [first, last, left, right, width] = svg.dataset.x.split(" ").map(Number);
    return {
      svg,
      cursor: svg.querySelector(".cursor"),
      pixel: (x) => left + ((x - first) / (last - first)) * (right - left),
      number: (event) => {
        const box = svg.getBoundingClientRect();
        const pixel = ((event.clientX - box.left) / box.width) * width;
        return first + ((pixel - left) / (right - left)) * (last - first);
      },
    };
  });

  const read = (index, shown) => {
    const x = data.x[index];
    slider.value = index;
    place.textContent = x.toLocaleString("en");
    data.curves.forEach((curve, number) => (values[number].textContent = curve.y[index]));
    const spoken = data.curves.map((curve) => `${curve.title} ${curve.y[index]}`);
    slider.setAttribute("aria-valuetext", `${data.label} ${x}: ${spoken.join(", ")}`);
    for (const chart of charts) {
      chart.svg.classList.toggle("read", shown);
      for (const end of ["x1", "x2"]) chart.cursor.setAttribute(end, chart.pixel(x));
    }
  };

  for (const chart of charts) {
    const follow = (event) => {
      const x = chart.number(event);
      let nearest = 0;
      data.x.forEach((value, index) => {
        if (Math.abs(value - x) < Math.abs(data.x[nearest] - x)) nearest = index;
      });
      read(nearest, true);
    };
    chart.svg.addEventListener("pointermove", follow);
    chart.svg.addEventListener("pointerdown", follow);
  }
  slider.addEventListener("input", () => read(Number(slider.value), true));
  read(data.x.length - 1, false);
  reader.hidden = data.x.length < 2;
}
