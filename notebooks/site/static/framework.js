// A link may choose the framework: ?framework=mxnet. This runs before the script of sphinx-design, which takes any value
// as it is: a name that is none would take the place of the reader's own choice, and a later choice would be undone by
// a reload, since the address still has the old one.
(() => {
  const key = "sphinx-design-tab-id-framework";
  const address = new URL(window.location.href);
  const asked = address.searchParams.get("framework");
  if (asked === null) return;
  const name = asked.toLowerCase();
  const known = ["torch", "mxnet", "tensorflow", "numpy"].includes(name);
  try {
    const before = window.localStorage.getItem(key);
    if (known) window.localStorage.setItem(key, name);
    address.searchParams.delete("framework");
    try {
      window.history.replaceState(null, "", address);
    } catch (error) {
      // A page on the disk cannot change its address. What the other script stores from it is put right afterwards.
      const right = known ? name : before;
      window.addEventListener("load", () => {
        if (right === null) window.localStorage.removeItem(key);
        else window.localStorage.setItem(key, right);
      });
    }
  } catch (error) {
    // Nothing can be stored here: the link cannot choose, and a click still does.
  }
})();
