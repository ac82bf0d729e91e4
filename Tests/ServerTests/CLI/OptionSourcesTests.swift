// Where options come from: what a file and variables may say, what goes before what, and where a fault is blamed on.

import Engine
import Server
import Testing

@Suite struct OptionSourcesTests {
    /// With a file `node.conf` that has `file`.
    private func sources(
        _ file: String? = nil, _ environment: [String: String] = [:], _ commandLine: [String] = []
    ) -> OptionSources {
        OptionSources(
            commandLine: (file == nil ? [] : ["--config", "node.conf"]) + commandLine, environment: environment
        ) { path throws(Failure) in
            guard path == "node.conf", let file else { throw Failure(.miss, "can't read \(path)") }
            return Array(file.utf8)
        }
    }

    @Test(
        "a line of the file is an option as on the command line, or as in TOML; comments and blank lines are none",
        arguments: [
            ("", []), ("\n  \n# -m 64\n\t# more\r\n", []),
            ("-m 64", ["--memory=64"]), ("-m64", ["--memory=64"]), ("  -m\t64  # megabytes", ["--memory=64"]),
            ("--memory 64", ["--memory=64"]), ("--memory=64", ["--memory=64"]),
            ("--memory-limit 64", ["--memory=64"]), ("memory = 64", ["--memory=64"]), ("memory=64", ["--memory=64"]),
            ("m = 64", ["--memory=64"]), ("frame_memory = 64 # MiB", ["--frame-memory=64"]),
            ("-M", ["--disable-evictions"]), ("--disable-evictions", ["--disable-evictions"]),
            ("disable-evictions = true", ["--disable-evictions"]), ("disable-evictions = off", []),
            ("-vv", ["--verbose", "--verbose"]), ("-v\n-v", ["--verbose", "--verbose"]),
            ("verbose = 2", ["--verbose", "--verbose"]),
            ("-l 127.0.0.1\n-l ::1\n-l a,b", ["--listen=127.0.0.1", "--listen=::1", "--listen=a,b"]),
            ("listen = [\"127.0.0.1\", '::1', a , ] # both", ["--listen=127.0.0.1", "--listen=::1", "--listen=a"]),
            ("scripts = \"/a b/#c\" # d", ["--scripts=/a b/#c"]), ("scripts = '/a\\b'", ["--scripts=/a\\b"]),
            ("scripts = \"\\\"\\\\\\t\"", ["--scripts=\"\\\t"]), ("--scripts /a b/c#d", ["--scripts=/a b/c#d"]),
            ("-D :", ["-D:"]), ("D = \"-\"", ["-D-"]), ("\u{FEFF}-m 64\r\n", ["--memory=64"]),
            ("-o idle_timeout=5,no_lru_crawler", ["--extended=idle_timeout=5,no_lru_crawler"]),
            ("napi_ids = 3", ["--napi_ids=3"]),
        ])
    func lines(file: String, arguments: [String]) {
        let sources = sources(file)
        #expect(sources.faults == [])
        #expect(sources.arguments == ["serve"] + arguments + ["--config", "node.conf"])
    }

    @Test("memcached's file as Debian has it is taken as it is, but for what it says of the process and the log")
    func debian() {
        let file = """
            # memcached default config file
            -d
            logfile /var/log/memcached.log
            # -v
            -m 64
            -p 11211
            -u memcache
            -l 127.0.0.1
            # -c 1024
            -P /var/run/memcached/memcached.pid

            """
        let sources = sources(file)
        #expect(sources.allFaults() == [])
        #expect(sources.arguments.contains("--user=memcache") && !sources.arguments.contains("--daemon"))
        #expect(
            sources.notes == [
                "node.conf:2: -d is passed over: the process stays in the foreground",
                "node.conf:3: logfile is passed over: the log goes to standard error",
            ])
    }

    @Test(
        "what is wrong with a line is said with its number and what to do",
        arguments: [
            ("\n--memroy 64", "node.conf:2: there is no option '--memroy'; did you mean memory?"),
            ("lisetn = a", "node.conf:1: there is no option 'lisetn'; did you mean listen?"),
            ("-q", "node.conf:1: there is no option '-q'; see cacheismo serve --help"),
            ("xyzzyxyzzy 1", "node.conf:1: there is no option 'xyzzyxyzzy'; see cacheismo serve --help"),
            ("-", "node.conf:1: there is no option '-'; see cacheismo serve --help"),
            ("memory 64", "node.conf:1: write it as memory = VALUE, or as --memory VALUE"),
            ("-m 64\n-m 65", "node.conf:2: --memory was given on line 1 already; leave one of the two out"),
            ("-m 64\n\nmemory = 64", "node.conf:3: --memory was given on line 1 already; leave one of the two out"),
            (
                "listen = a\nlisten = b",
                "node.conf:2: --listen was given on line 1 already; leave one of the two out"
            ),
            ("-M\n-M", "node.conf:2: --disable-evictions was given on line 1 already; leave one of the two out"),
            ("-m", "node.conf:1: -m wants a value, as in -m VALUE"),
            ("--memory # 64", "node.conf:1: --memory wants a value, as in --memory VALUE"),
            ("memory =", "node.conf:1: memory wants a value behind the ="),
            ("-M 1", "node.conf:1: -M takes no value; one option a line"),
            ("--disable-evictions=1", "node.conf:1: --disable-evictions takes no value; one option a line"),
            ("-vv -m 64", "node.conf:1: -v takes no value; one option a line"),
            ("memory = \"64\" 65", "node.conf:1: '65' behind the value of memory: one option a line"),
            ("memory = [64]", "node.conf:1: memory takes one value, not several"),
            ("listen = [\"a\"", "node.conf:1: the values of listen: write a comma between two, and a ] at the end"),
            ("listen = [", "node.conf:1: the values of listen have no ] on their line"),
            ("listen = []", "node.conf:1: listen wants a value; leave the line out if there is none"),
            ("scripts = \"a", "node.conf:1: the text has no \" at its end"),
            ("scripts = \"\\n\"", "node.conf:1: \\ stands before \", \\ or t; between ' it stands for itself"),
            ("disable-evictions = maybe", "node.conf:1: disable-evictions is true or false, not 'maybe'"),
            ("[server]", "node.conf:1: there are no tables here: one option a line, as in memory = 64"),
            ("--config other", "node.conf:1: --config belongs on the command line"),
            ("check = true", "node.conf:1: --check belongs on the command line"),
            ("--help", "node.conf:1: --help belongs on the command line"),
            ("-V", "node.conf:1: -V belongs on the command line"),
            ("-m 64\n\0", "node.conf:2: a byte 0: this is no text file"),
            // What the parser does not take.
            ("-t 1\nmemory = many", "node.conf:2: The value 'many' is invalid for '--memory <memory>'"),
            ("-t 1\n-m 0", "node.conf:2: --memory 0: from 1 to 16777216"),
            ("-k", "node.conf:1: -k: memory is not locked; turn swap off for the service instead"),
            (
                "-m 64\nname = n1",
                "node.conf:2: --name and --peers go together: --name n1 --peers n1=127.0.0.1:11211,n2=…"
            ),
        ])
    func faults(file: String, line: String) {
        #expect(sources(file).allFaults() == [line])
    }

    @Test("all faults are said, those of the lines first, then what the parser does not take")
    func severalFaults() {
        let sources = sources("-m 0\n-q\n-t none\n-c 0\n", ["CACHEISMO_SHARDS": "0"])
        #expect(
            sources.allFaults() == [
                "node.conf:2: there is no option '-q'; see cacheismo serve --help",
                "node.conf:3: The value 'none' is invalid for '--threads <threads>'",
                "node.conf:1: --memory 0: from 1 to 16777216",
                "node.conf:4: --conn-limit 0: from 1 to 1000000",
                "CACHEISMO_SHARDS: --shards 0: from 1 to 256",
            ])
        #expect(self.sources("-m 64", [:], ["-m", "0"]).allFaults() == ["--memory 0: from 1 to 16777216"])
    }

    @Test(
        "variables go before the file, the command line before both, also for what may be given several times",
        arguments: [
            ("-m 1", ["CACHEISMO_MEMORY": "2"], ["-m", "3"], ["-m", "3"]),
            ("-m 1", ["CACHEISMO_MEMORY": "2"], [], ["--memory=2"]),
            ("-m 1", ["CACHEISMO_MEMORY": ""], [], ["--memory=1"]),
            ("-m 1", ["CACHEISMO_MEMORY_LIMIT": "2"], ["--memory-limit=3"], ["--memory-limit=3"]),
            ("-m 1", [:], ["-vm3"], ["-vm3"]), ("-l a\n-l b", [:], ["-lc"], ["-lc"]),
            ("-l a\n-l b", ["CACHEISMO_LISTEN": "c,d"], [], ["--listen=c", "--listen=d"]),
            ("-M", ["CACHEISMO_DISABLE_EVICTIONS": "no"], [], []), ("-vv", [:], ["-v"], ["-v"]),
            (
                "", ["CACHEISMO_DISABLE_EVICTIONS": "1", "CACHEISMO_VERBOSE": "2", "CACHEISMO_D": "/"], [],
                ["-D/", "--disable-evictions", "--verbose", "--verbose"]
            ),
            ("-t 1", ["CACHEISMO_MEMORY": "2"], ["--", "-m", "3"], ["--threads=1", "--memory=2", "--", "-m", "3"]),
        ] as [(String, [String: String], [String], [String])])
    func precedence(file: String, environment: [String: String], commandLine: [String], expected: [String]) {
        let sources = sources(file, environment, commandLine)
        #expect(sources.faults == [])
        #expect(sources.arguments.filter { $0 != "--config" && $0 != "node.conf" } == ["serve"] + expected)
    }

    @Test("a variable that is no option is passed over with a word, one that another one repeats is refused")
    func variables() {
        let odd = sources(
            nil,
            [
                "CACHEISMO_MEMROY": "1", "CACHEISMO_PORT": "tcp://10.0.0.1:11211", "CACHEISMO_PASSWORD": "x",
                "CACHEISMO_SERVICE_HOST": "10.0.0.1", "HOME": "/", "CACHEISMO_CHECK": "1",
            ])
        #expect(odd.allFaults() == [] && odd.arguments == ["serve"])
        #expect(odd.notes.count == 4)
        #expect(odd.notes.contains { $0.hasPrefix("CACHEISMO_MEMROY ") && $0.hasSuffix("CACHEISMO_MEMORY?") })
        #expect(odd.notes.contains { $0.contains("enableServiceLinks") })
        let twice = sources(nil, ["CACHEISMO_MEMORY": "1", "CACHEISMO_MEMORY_LIMIT": "2"])
        #expect(
            twice.faults == ["CACHEISMO_MEMORY_LIMIT: CACHEISMO_MEMORY says the same already; leave one of the two out"]
        )
        let flag = sources(nil, ["CACHEISMO_DISABLE_EVICTIONS": "maybe"])
        #expect(flag.faults == ["CACHEISMO_DISABLE_EVICTIONS=maybe: --disable-evictions is true or false"])
    }

    @Test("the file may be named by a variable; one that can't be read, or is named twice, is refused")
    func files() {
        let named = OptionSources(commandLine: [], environment: ["CACHEISMO_CONFIG": "a"]) { path throws(Failure) in
            Array((path == "a" ? "-m 7" : "-m 8").utf8)
        }
        #expect(named.arguments == ["serve", "--memory=7"])
        let other = OptionSources(commandLine: ["--config=b"], environment: ["CACHEISMO_CONFIG": "a"]) {
            path throws(Failure) in Array((path == "a" ? "-m 7" : "-m 8").utf8)
        }
        #expect(other.arguments == ["serve", "--memory=8", "--config=b"])
        #expect(sources(nil, [:], ["--config", "none"]).faults == ["--config none: can't read none"])
        let twice = sources("-m 1", [:], ["--config=node.conf"])
        #expect(twice.faults == ["--config was given 2 times: there is one file, name one"])
        let large = OptionSources(commandLine: ["--config", "x"], environment: [:]) { _ throws(Failure) in
            [UInt8](repeating: 0x0A, count: 1 << 20 | 1)
        }
        #expect(large.faults == ["x: more than 1 MiB: this is no file of options"])
    }

    @Test(
        "other commands, and questions to the parser, have nothing to do with any of it",
        arguments: [
            ["get", "k"], ["load", "--config", "none"], ["--help"], ["serve", "--help"], ["--version"], ["-V"],
            ["--generate-completion-script", "bash"],
        ])
    func others(commandLine: [String]) {
        let sources = sources(nil, ["CACHEISMO_MEMORY": "0", "CACHEISMO_CONFIG": "none"], commandLine)
        #expect(sources.arguments == commandLine && sources.faults == [] && sources.notes == [])
    }

    @Test("a file of any bytes is taken or refused, and gives no argument that was not written")
    func anyBytes() {
        var random = SystemRandomNumberGenerator()
        let pieces: [[UInt8]] =
            [
                "-m", "--", "memory", "=", " ", "\n", "\"", "'", "[", "]", ",", "#", "\\", "64", "listen", "-v", "\t",
                "\r",
            ].map { Array($0.utf8) } + [[0], [0xFF], [0xC3, 0x28], [0xEF, 0xBB, 0xBF]]
        let table = OptionTable.ofServe()
        for _ in 0..<2_000 {
            let bytes = (0..<Int.random(in: 0..<24, using: &random)).flatMap { _ in
                pieces.randomElement(using: &random) ?? []
            }
            let file = ConfigurationFile(bytes, path: "f", table: table)
            let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false).count
            #expect(file.settings.count + file.faults.count + file.notes.count <= lines, "\(bytes)")
        }
    }
}
