// The `cacheismo` command: serve, load, job, query and the rest.

import ArgumentParser

@main
struct Cacheismo: ParsableCommand {
    func run() {}
}
