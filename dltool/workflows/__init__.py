"""One page per command: frozen settings in, frozen result out. Progress goes up through the events handed in."""
