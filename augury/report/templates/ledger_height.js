// Inside the report this page is a frame, which is as tall as it says here. A sheet of paper is narrower than most
// screens: the height for printing is measured at its width, with the screen's larger type.
if (parent !== window) {
  const root = document.documentElement;
  root.classList.add("framed");
  const height = () => Math.ceil(document.body.getBoundingClientRect().height);
  const report = () => {
    const shown = height();
    root.style.width = "180mm";
    const printed = height();
    root.style.width = "";
    parent.postMessage({ height: shown, printed }, "*"); // a page from the disk has no origin to name
  };
  report(); // at once, for a browser need not watch the size of what does not show yet
  new ResizeObserver(report).observe(document.body);
}
