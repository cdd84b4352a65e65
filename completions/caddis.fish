complete --keep-order --exclusive --command caddis --arguments "(CADDIS_COMPLETE=fish caddis -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
