// The page for people: its files, embedded, and the chart library where the system has it.

import Engine
import Gather
import Glibc
import HTTPTypes

enum PageFiles {
    static var all: [HTTPEndpoint] {
        [
            HTTPEndpoint(.get, "/", .lookAtCluster) { _ throws(HTTPFailure) in
                var answer = HTTPAnswer(.ok, type: "text/html; charset=utf-8", PackageResources.index_html)
                answer.fields[.contentSecurityPolicy] = policy
                answer.fields[.frameOptions] = "DENY"
                return guarded(answer)
            },
            HTTPEndpoint(.get, "/page/{name}", .lookAtCluster) { call throws(HTTPFailure) in
                guarded(try file(call.name()))
            },
        ]
    }

    private static let policy = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    private static let script = "text/javascript; charset=utf-8"
    /// Debian's libjs-chart.js.
    private static let chartLibrary = "/usr/share/javascript/chart.js/chart.min.js"

    private static func guarded(_ answer: HTTPAnswer) -> HTTPAnswer {
        var answer = answer
        answer.fields[.xContentTypeOptions] = "nosniff"
        answer.fields[.cacheControl] = "no-cache"
        return answer
    }

    private static func file(_ name: String) throws(HTTPFailure) -> HTTPAnswer {
        if name == "chart.js" {
            guard let bytes = try? FilePath.read(chartLibrary) else {
                throw .noSuch("chart library", "install Debian's libjs-chart.js; without it the page shows tables")
            }
            return HTTPAnswer(.ok, type: script, bytes)
        }
        guard let (type, bytes) = embedded(name) else {
            throw .noSuch("file '\(name.prefix(60))' of the page", "see /")
        }
        return HTTPAnswer(.ok, type: type, bytes)
    }

    private static func embedded(_ name: String) -> (type: String, bytes: [UInt8])? {
        switch name {
        case "answer.js": (script, PackageResources.answer_js)
        case "api.js": (script, PackageResources.api_js)
        case "board.js": (script, PackageResources.board_js)
        case "boards.js": (script, PackageResources.boards_js)
        case "charts.js": (script, PackageResources.charts_js)
        case "cluster.js": (script, PackageResources.cluster_js)
        case "dom.js": (script, PackageResources.dom_js)
        case "editor.js": (script, PackageResources.editor_js)
        case "envelope.js": (script, PackageResources.envelope_js)
        case "format.js": (script, PackageResources.format_js)
        case "frames.js": (script, PackageResources.frames_js)
        case "main.js": (script, PackageResources.main_js)
        case "objects.js": (script, PackageResources.objects_js)
        case "params.js": (script, PackageResources.params_js)
        case "picks.js": (script, PackageResources.picks_js)
        case "query.js": (script, PackageResources.query_js)
        case "runs.js": (script, PackageResources.runs_js)
        case "table.js": (script, PackageResources.table_js)
        case "tiles.js": (script, PackageResources.tiles_js)
        case "page.css": ("text/css; charset=utf-8", PackageResources.page_css)
        case "icon.svg": ("image/svg+xml", PackageResources.icon_svg)
        default: nil
        }
    }
}
