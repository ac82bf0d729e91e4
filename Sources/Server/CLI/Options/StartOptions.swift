// `--config` and `--check`: where a node's options come from, and whether they can be used.

import ArgumentParser

struct StartOptions: ParsableArguments {
    /// Read before the command line is parsed, see `OptionSources`.
    @Option(
        name: .customLong("config"),
        help: ArgumentHelp(
            "Options from this file, one a line, as in -m 64 or memory = 64. CACHEISMO_MEMORY=64 and its kin go before the file, and what is given here before both.",
            valueName: "file"),
        completion: .file())
    var configurationFile: String?

    @Flag(
        name: .customLong("check"),
        help: "Say what is wrong with the options and the files that they name, a line each, instead of serving.")
    var checks = false
}
