// The desk works without scripts; what is here makes it quicker. One module per part of the page.
import "./commands.js";
import "./dialogs.js";
import "./keys.js";
import "./live.js";
import "./menus.js";
import "./passkeys.js";
import "./refusals.js";
import "./selection.js";
import "./sliders.js";
import "./stream.js";
import "./theme.js";
