// What to do, by code: from reconciler/core. Generated, see CONTRIBUTING.md.

export const FIXES = {
  "wrong-psk": "Enter the key of `psk` on the router. Mind blanks and line ends when you copy it.",
  "refused-by-site": "Compare key and identities on both sides; the router's log says which of them it refuses. The hub's identity is the setting `HUB_ID`.",
  "closed-at-once": "Look into the router's log. Often it expects another key or identity of the hub.",
  "unknown-id": "The router must call itself by `remote_id` (default `<airport id>.remote`) and the hub by `HUB_ID`, both of the type domain name (FQDN), and call from `remote_address` if that is declared. Or the airport is not declared, or disabled.",
  "wrong-ike-version": "Set the router to IKEv2.",
  "proposal-mismatch": "Set the router to the declared `encryption` and `dh_group`, for IKE and for ESP; or declare what the router uses.",
  "selector-mismatch": "Make the router's local network equal to `remote_subnet`, and its remote network equal to `local_subnet` or a part of it.",
  "no-key": "The reconciler loads it in its next round. If this stays, `reconciler status` says what keeps it from that.",
  "child-failed": "Look into `docker logs gateway`; often the kernel lacks ESP (`DATAPLANE`).",
  "no-answer": "See whether `remote_address` is right, the router on, and UDP 500 open towards it.",
  "half-open": "Let UDP 4500 pass in both directions, at the site's firewall and at the hub's.",
  "dead-peer": "Look at the site's power and internet line. It comes back by itself when they do.",
  "replaced": "Nothing, if the router was restarted. If it goes on, two routers use the same identity.",
  "closed-by-site": "Was the router switched off, or its tunnel? Its log says why.",
  "never-dialled-in": "Set up the router. If it is, see whether its packets arrive: troubleshooting.md, *Nobody dials in*.",
  "waiting-for-site": "A router dials again within minutes. If not, see whether its packets arrive: troubleshooting.md, *Nobody dials in*.",
  "dialling": "Wait: `next_attempt` says when.",
  "negotiating": "Wait half a minute.",
  "child-missing": "Wait: the reconciler asks for the data tunnel by itself, with growing pauses.",
  "just-came-up": "Wait two seconds: a tunnel that is closed again at once was never up.",
  "closed-by-hub": "Wait for the site; the router dials by itself.",
  "charon-restarted": "Nothing: every site dials in by itself. `reconciler status` says why it was restarted, if the reconciler did it. This one stands in the history only.",
  "paused": "`reconciler resume NAME` ends that.",
  "name-clash": "Rename yours by `connection_name`, or unload the other one.",
  "charon-unreachable": "See troubleshooting.md, *charon can't be asked*."
};

export const FIXES_OF_FLAWS = {
  "narrowed-selectors": "Set the router's remote network to `local_subnet`.",
  "other-ike-algorithms": "Set the router's IKE proposal to `encryption` and `dh_group`.",
  "other-esp-algorithms": "For some seconds after a change of the declaration this is right. Otherwise set the router's ESP proposal.",
  "duplicate-ike-sas": "The reconciler ends the older ones. If this stays or comes back, two routers use the same identity.",
  "duplicate-child-sas": "See the router's log. It should have closed the older one.",
  "no-nat-traversal": "Switch on NAT traversal on the router.",
  "probe-failed": "See whether the camera has power and still has its address, and whether the router lets packets from the tunnel into its LAN. Or declare another `health_check`."
};
