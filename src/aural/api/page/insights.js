// The place of the panel beside the captions. The page calls these three; nothing else knows of insights.

/** What a session is asked for beside captions: names for `session.include` of session.update. */
export function include() {
  return [];
}

/** Any event of the session, in order. */
export function onEvent(event, panel) {}

/** The captions were cleared. */
export function onClear(panel) {
  panel.replaceChildren();
  panel.hidden = true;
}
