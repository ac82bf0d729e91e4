// `cacheismo manual`, which is not listed: prints the manual page that `make install` puts where `man` finds it.

import ArgumentParser
import Engine

struct ManualCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "manual", abstract: "Print the manual page.", shouldDisplay: false)

    @Option(help: ArgumentHelp("What it is dated.", valueName: "yyyy-mm-dd"))
    var date: PageDate

    /// A day as manual pages have it.
    struct PageDate: ExpressibleByArgument {
        let text: String

        private static let months = [
            "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
            "November", "December",
        ]

        init?(argument: String) {
            let parts = argument.split(separator: "-", omittingEmptySubsequences: false)
            guard parts.count == 3, parts[0].count == 4, let year = Int(parts[0]), let month = Int(parts[1]),
                let day = Int(parts[2]), (1...12).contains(month), (1...31).contains(day)
            else { return nil }
            text = "\(Self.months[month - 1]) \(day), \(year)"
        }
    }

    func run() throws {
        let help = try Value(parsingJSON: Array(Cacheismo._dumpHelp().utf8))
        StandardOutput.print(Array(ManualPage(help: help, date: date.text).text.utf8))
    }
}
