// Puts the explorer in the place of the table that stands for it where nothing runs.
(() => {
  const host = document.getElementById("explorer");
  const packed = atob(document.getElementById("data").textContent);
  explorer
    .mount(host, Uint8Array.from(packed, (letter) => letter.charCodeAt(0)))
    .then((handle) => (host.explorer = handle))
    .catch((error) => {
      const said = document.createElement("p");
      said.textContent = `The explorer cannot be shown in this browser (${error.message}).`;
      host.prepend(said);
    });
})();
