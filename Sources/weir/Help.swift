/// The help for a command; `weir` is the help for all of them.
func helpText(_ topic: Command.Topic) -> String {
    switch topic {
    case .weir:
        """
        weir: an xDS relay between a control plane and its proxies

        usage: weir COMMAND [OPTIONS]

          serve     run the relay
          check     validate a configuration
          explain   tell which key a node gets, by which rule, and why not by others
          store     look into the last good state on disk

          weir COMMAND --help    the options of a command
          weir --version

        Exit status: 0 fine, 1 failed while running, 2 bad usage or invalid
        configuration.

        """
    case .serve:
        """
        usage: weir serve --config FILE

        Runs the relay with the configuration in FILE; logs go to stderr.

          --config FILE   the relay.yaml

        SIGTERM and SIGINT drain and end with status 0. SIGHUP reads FILE again, and
        keeps what it had if FILE is invalid.

        """
    case .check:
        """
        usage: weir check --config FILE

        Prints OK if FILE is a valid configuration; otherwise every error as
        FILE:LINE:COL: error: ..., and ends with status 2. Warnings do not make a
        configuration invalid.

          --config FILE   the relay.yaml

        """
    case .store:
        """
        usage: weir store inspect|verify|export --config FILE [--key KEY]
               weir store inspect|verify|export --path PATH [--key KEY]

        Looks into the store of cache.store, also while a relay uses it.

          inspect         a table of what is stored: keys, types, versions, sizes
          verify          check every record; status 1 if something is damaged
          export          the resources as JSON, without secrets

          --config FILE   the relay.yaml
          --path PATH     the store's folder, or a file of one that was set aside;
                          what is encrypted can be read with --config only
          --key KEY       only what belongs to this key
          --before-use    verify: also try what a relay does before it writes; for a
                          store that no relay uses

        """
    case .explain:
        """
        usage: weir explain --config FILE --node FILE [OPTIONS]

        Prints the key that a node gets, the rule that gives it, what its patterns
        caught, and why each earlier rule does not match. Ends with status 1 if no rule
        matches.

          --config FILE         the relay.yaml
          --node FILE           the node: an envoy.config.core.v3.Node in protobuf's
                                JSON form
          --type TYPE           the type asked for: a short name (cds) or a type URL
          --resources A,B       the names asked for (only rule files of xds-relay look
                                at them)
          --peer-address ADDR   the client's address
          --peer-san A,B        the URI and DNS names of the client's certificate
          --json                the answer as JSON

        """
    }
}
