// Pictures: enlarged on click, and as differences to the converged sample.
(() => {
  const viewer = document.getElementById("viewer"), large = viewer.querySelector("img"), caption = document.getElementById("viewer-caption");
  const tiles = [...document.querySelectorAll(".tile")];
  let at = 0;

  function show(index) {
    at = (index + tiles.length) % tiles.length;
    const image = tiles[at].firstElementChild;
    large.src = image.src;
    large.alt = image.alt;
    large.className = image.className;
    const fit = Math.min((innerWidth * 0.86) / image.naturalWidth, (innerHeight * 0.62) / image.naturalHeight, 8);
    large.style.width = `${Math.floor(image.naturalWidth * (fit > 1 ? Math.floor(fit) : fit))}px`;
    caption.textContent = image.alt;
  }
  document.addEventListener("click", (event) => {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    show(tiles.indexOf(tile));
    viewer.showModal();
  });
  const step = (by) => show(at + by);
  viewer.addEventListener("click", (event) => {
    const button = event.target.closest("[data-step]");
    if (button) step(Number(button.dataset.step));
    else if (event.target === viewer) viewer.close();
  });
  viewer.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });

  function pixels(image) {
    const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight), context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height);
  }

  // Brightness of an image, or opacity of a plot of points.
  const value = (pixel, i, points) => (points ? pixel[i + 3] : 0.299 * pixel[i] + 0.587 * pixel[i + 1] + 0.114 * pixel[i + 2]);

  function difference(image, limit) {
    const sample = pixels(image), target = pixels(limit), points = image.matches(".points");
    const paint = [page.colour("--more"), page.colour("--less")].map((colour) => colour.match(/\d+/g).map(Number));
    const canvas = Object.assign(document.createElement("canvas"), { width: sample.width, height: sample.height });
    for (let i = 0; i < sample.data.length; i += 4) {
      const gap = sample.data[i + 3] || target.data[i + 3] ? value(sample.data, i, points) - value(target.data, i, points) : 0;
      const [r, g, b] = paint[gap > 0 ? 0 : 1];
      sample.data.set([r, g, b, Math.min(255, 1.6 * Math.abs(gap))], i);
    }
    canvas.getContext("2d").putImageData(sample, 0, 0);
    return canvas.toDataURL();
  }

  async function view(part, name) {
    const limits = [...part.querySelectorAll(".limit img")], images = [...part.querySelectorAll("td:not(.limit) > .tile img")];
    await Promise.all([...limits, ...images].map((image) => image.decode().catch(() => {})));
    for (const image of images) {
      image.dataset.samples ??= image.src;
      image.dataset.alt ??= image.alt;
      const differs = name === "difference" && image.dataset.limit !== undefined;
      if (image.src !== image.dataset.samples) {
        image.src = image.dataset.samples;
        await image.decode();
      }
      if (differs) image.src = difference(image, limits[image.dataset.limit]);
      image.classList.toggle("painted", differs);
      image.alt = differs ? `${image.dataset.alt}: difference to the converged sample` : image.dataset.alt;
      image.style.visibility = name === "difference" && !differs ? "hidden" : "";
    }
    part.dataset.view = name;
  }
  for (const part of document.querySelectorAll(".samples-part")) {
    part.addEventListener("click", (event) => {
      const button = event.target.closest("[data-view]");
      if (!button?.matches("button")) return;
      for (const other of button.parentElement.children) other.setAttribute("aria-pressed", String(other === button));
      view(part, button.dataset.view);
    });
    page.onChange(() => part.dataset.view === "difference" && view(part, "difference"));
  }
})();
