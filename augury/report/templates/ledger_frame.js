// The ledger says how tall it is once it has loaded, and again whenever that changes. Until then nothing shows; without
// a costs.html beside this page, that is for good.
addEventListener("message", (event) => {
  const frame = document.querySelector("iframe.ledger");
  if (!frame || event.source !== frame.contentWindow) return;
  const { height, printed } = event.data;
  frame.style.setProperty("--height", `${Number(height)}px`);
  frame.style.setProperty("--printed", `${Number(printed)}px`);
  frame.classList.add("shown");
  document.querySelector("#costs .absent").hidden = true;
});
