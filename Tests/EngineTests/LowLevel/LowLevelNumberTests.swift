// The numbers of scripts for the low-level interface: all doubles, as in Lua 5.1.

import Engine
import Testing

private struct NoItems: LowLevelServices {
    func get(_ key: [UInt8]) -> LowLevelItem? { nil }
    func put(_ item: LowLevelItem) -> Bool { true }
    func delete(_ key: [UInt8]) {}
    func deleteLeastUsed(bytes: Int) {}
    func keys(prefix: [UInt8], limit: Int) -> [[UInt8]] { [] }
    func log(_ line: String) {}
}

@Suite struct LowLevelNumberTests {
    /// What a script says, and what Lua 5.1 on x86-64 makes of it as text.
    private static let expressions: [(expression: String, text: String)] = [
        (#"2^64 ..''"#, #"1.844674407371e+19"#),
        (#"5 % 0 ..''"#, #"-nan"#),
        (#"tostring(5%0)"#, #"-nan"#),
        (#"tostring(-(5%0))"#, #"nan"#),
        (#"tostring(0/0)"#, #"-nan"#),
        (#"string.format('%d',2^70)"#, #"-9223372036854775808"#),
        (#"string.format('%d',-2^70)"#, #"-9223372036854775808"#),
        (#"string.format('%d',2^63)"#, #"-9223372036854775808"#),
        (#"string.format('%d',0/0)"#, #"-9223372036854775808"#),
        (#"string.format('%d',1/0)"#, #"-9223372036854775808"#),
        (#"string.format('%x',255)"#, #"ff"#),
        (#"string.format('%x',-1)"#, #"ffffffffffffffff"#),
        (#"string.format('%d','10')"#, #"10"#),
        (#"string.format('%5.2f',1)"#, #" 1.00"#),
        (#"string.format('%c',65)"#, #"A"#),
        (#"string.format('%g',100)"#, #"100"#),
        (#"string.format('%i',3.7)"#, #"3"#),
        (#"string.format('%u',-1)"#, #"18446744073709551615"#),
        (#"select(2,pcall(error,4/2))..''"#, #"2"#),
        (#"select(2,pcall(error,4/2,0))..''"#, #"2"#),
        (#"9007199254740993 ..''"#, #"9.007199254741e+15"#),
        (#"9223372036854775807+1 ..''"#, #"9.2233720368548e+18"#),
        (#"18446744073709551616 ..''"#, #"1.844674407371e+19"#),
        (#"0xffffffffffffffff ..''"#, #"1.844674407371e+19"#),
        (#"0x10 ..''"#, #"16"#),
        (#"0xFF/2 ..''"#, #"127.5"#),
        (#"7%3 ..''"#, #"1"#),
        (#"-7%3 ..''"#, #"2"#),
        (#"7%-3 ..''"#, #"-2"#),
        (#"5.5%2 ..''"#, #"1.5"#),
        (#"1%(1/0)..''"#, #"-nan"#),
        (#"-1%(1/0)..''"#, #"-nan"#),
        (#"3%-2 ..''"#, #"-1"#),
        (#"-6%3 ..''"#, #"0"#),
        (#"0%-3 ..''"#, #"0"#),
        (#"math.floor(3.7)..''"#, #"3"#),
        (#"math.floor(1e300)..''"#, #"1e+300"#),
        (#"math.ceil(-0.5)..''"#, #"-0"#),
        (#"tonumber('10')..''"#, #"10"#),
        (#"tonumber('0x10')..''"#, #"16"#),
        (#"tonumber('10',16)..''"#, #"16"#),
        (#"tonumber('1e1')..''"#, #"10"#),
        (#"tonumber('ff',16)..''"#, #"255"#),
        (#"tonumber('9223372036854775808')..''"#, #"9.2233720368548e+18"#),
        (#"'10'+1 ..''"#, #"11"#),
        (#"'0x10'+1 ..''"#, #"17"#),
        (#"'3'*'4'..''"#, #"12"#),
        (#"10/2 ..''"#, #"5"#),
        (#"-0 ..''"#, #"-0"#),
        (#"0*-1 ..''"#, #"-0"#),
        (#"2^53+1 ..''"#, #"9.007199254741e+15"#),
        (#"math.fmod(7,3)..''"#, #"1"#),
        (#"math.fmod(-7,3)..''"#, #"-1"#),
        (#"tostring(math.fmod(5,0))"#, #"-nan"#),
        (#"math.abs(-3)..''"#, #"3"#),
        (#"math.max(1,2.5)..''"#, #"2.5"#),
        (#"math.huge ..''"#, #"inf"#),
        (#"-math.huge ..''"#, #"-inf"#),
        (#"#'abc'..''"#, #"3"#),
        (#"string.rep('a',2.7)"#, #"aa"#),
        (#"string.sub('hello',2.9,3.9)"#, #"el"#),
        (#"string.byte('A')/2 ..''"#, #"32.5"#),
        (#"string.char(65.7)"#, #"A"#),
        (#"({10,20,30})[4/2]..''"#, #"20"#),
        (#"tostring(1==1.0)"#, #"true"#),
        (#"(function() local s='' for i=1,3 do s=s..i..',' end return s end)()"#, #"1,2,3,"#),
        (#"(function() local s='' for i=1,2,0.5 do s=s..i..',' end return s end)()"#, #"1,1.5,2,"#),
        (#"(function() local s='' for i=3,1,-1 do s=s..i..',' end return s end)()"#, #"3,2,1,"#),
        (#"(function() local s='' for i='1','3' do s=s..i end return s end)()"#, #"123"#),
        (#"select('#',1,2)..''"#, #"2"#),
        (#"math.pow(2,64)..''"#, #"1.844674407371e+19"#),
        (#"math.log10(1000)..''"#, #"3"#),
        (#"math.sqrt(16)..''"#, #"4"#),
        (#"(string.find('abc','c'))..''"#, #"3"#),
        (#"1e100 ..''"#, #"1e+100"#),
        (#"3.0 ..''"#, #"3"#),
        (#"123456789012345 ..''"#, #"1.2345678901234e+14"#),
        (#"2^31 ..''"#, #"2147483648"#),
        (#"4611686018427387904*4 ..''"#, #"1.844674407371e+19"#),
        (#"-9223372036854775808 ..''"#, #"-9.2233720368548e+18"#),
        (#"table.getn({1,2,3})/2 ..''"#, #"1.5"#),
        (#"math.ldexp(1,70)..''"#, #"1.1805916207174e+21"#),
        (#"math.frexp(8)..''"#, #"0.5"#),
        (#"select(2,math.frexp(8))..''"#, #"4"#),
        (#"select(2,math.modf(3.7))..''"#, #"0.7"#),
        (#"math.modf(3.7)..''"#, #"3"#),
        (#"math.modf(-3.7)..''"#, #"-3"#),
        (#"tostring(1e15+0.5)"#, #"1e+15"#),
        (#"string.format('%s',5%0)"#, #"-nan"#),
        (#"string.format('%.0f',2^70)"#, #"1180591620717411303424"#),
        (#"string.format('%q','a')"#, #""a""#),
        (#"tostring(tonumber('  12  '))"#, #"12"#),
        (#"tostring(tonumber('1_0'))"#, #"nil"#),
        (#"tostring(tonumber(''))"#, #"nil"#),
        (#"tostring(tonumber('0x'))"#, #"nil"#),
        (#"tostring(tonumber('inf'))"#, #"inf"#),
        (#"tostring(tonumber('nan'))"#, #"nan"#),
        (#"tostring(tonumber('1e'))"#, #"nil"#),
        (#"tostring(tonumber('7',8))"#, #"7"#),
        (#"tostring(tonumber('8',8))"#, #"nil"#),
        (#"tostring(tonumber('-ff',16))"#, #"1.844674407371e+19"#),
        (#"math.floor(-3.5)..''"#, #"-4"#),
        (#"1e15%7 ..''"#, #"6"#),
        (#"tostring(({[1]=5})[1.0])"#, #"5"#),
        (#"type(next({[2]=1}))..''"#, #"number"#),
        (#"next({[4/2]=1})..''"#, #"2"#),
        (#"unpack({1,2},1,2)..''"#, #"1"#),
        (#"math.mod(7,4)..''"#, #"3"#),
        (#"tostring(2^63==2^63+1)"#, #"true"#),
        (#"7-7%0 ..''"#, #"-nan"#),
        (#"string.format('%5d|%-5d|%05d',3,3,3)"#, #"    3|3    |00003"#),
        (#"string.format('%+d',3)"#, #"+3"#),
        (#"string.format('%o',8)"#, #"10"#),
        (#"string.format('%X',255.9)"#, #"FF"#),
        (#"string.format('%d',-3.7)"#, #"-3"#),
        (#"string.format('%e',1)"#, #"1.000000e+00"#),
        (#"string.len(2^64)..''"#, #"18"#),
        (#"tostring(-0.0)"#, #"-0"#),
        (#"0/-1 ..''"#, #"-0"#),
        (#"tostring(0x7fffffffffffffff)"#, #"9.2233720368548e+18"#),
        (#"1/(-0)..''"#, #"-inf"#),
        (#"1/(0*-1)..''"#, #"-inf"#),
        (#"string.format('%d','3.9')"#, #"3"#),
        (#"math.min(3,2)..''"#, #"2"#),
        (#"-6%3 ..''"#, #"0"#),
        (#"6%-3 ..''"#, #"0"#),
        (#"5.5%-2 ..''"#, #"-0.5"#),
        (#"'7'%'4'"#, #"3"#),
        (#"2^53%3 ..''"#, #"2"#),
        (#"-2^53%3 ..''"#, #"0"#),
        (#"7%4%2 ..''"#, #"1"#),
        (#"(7%4)^2%5 ..''"#, #"4"#),
        (#"-7%3%2*2 ..''"#, #"0"#),
        (#"10-7%4 ..''"#, #"7"#),
        (#"7%({[1]=4})[1] ..''"#, #"3"#),
        (#"#'abcdefg'%(#'abcd')..''"#, #"3"#),
        (#"1000000007 * 1000000007 % 998244353 ..''"#, #"740649984"#),
        (#"123456789 * 987654321 ..''"#, #"1.2193263111264e+17"#),
        (#"tonumber(10,16)..''"#, #"16"#),
        (#"tostring(tonumber(nil))"#, #"nil"#),
        (#"tonumber(' 0x1p4 ')..''"#, #"16"#),
        (#"math.floor(-0.0)..''"#, #"-0"#),
        (#"math.floor('3.7')..''"#, #"3"#),
        (#"math.atan2(1,-1)..''"#, #"2.3561944901923"#),
        (#"math.sinh(1)..''"#, #"1.1752011936438"#),
        (#"math.cosh(1)..''"#, #"1.5430806348152"#),
        (#"math.tanh(1)..''"#, #"0.76159415595576"#),
        (#"math.frexp(-10)..''"#, #"-0.625"#),
        (#"string.rep('x',-1)..'|'"#, #"|"#),
        (#"string.byte('abc',1.9)..''"#, #"97"#),
        (#"string.char(65.2,'66')"#, #"AB"#),
        (#"(unpack({1,2,3},1.5,2.9))..''"#, #"1"#),
        (#"(select(2.9,'a','b','c'))"#, #"b"#),
        (#"table.concat({1,2,3},',',1.5,2.9)"#, #"1,2"#),
        (
            #"(function() local t={1,2,3} table.insert(t,2.5,9) table.insert(t,2.5) return table.concat(t,',') end)()"#,
            #"1,9,2,3,2.5"#
        ),
        (#"(function() local t={1,2,3} return table.remove(t,2.5)..table.concat(t,',') end)()"#, #"21,3"#),
        (#"math.fmod(-6,3)..''"#, #"-0"#),
        (#"math.fmod(1e300,7)..''"#, #"1"#),
        (#"(function() for k,v in pairs({[1e12]=1}) do return k*k*k*k end end)()..''"#, #"1e+48"#),
        (#"(function() local n=0 for k,v in pairs({5,6,7,a=1}) do n=n+v end return n end)()..''"#, #"19"#),
        (#"next({[1e12]=1})*next({[1e12]=1})..''"#, #"1e+24"#),
        (#"next({5,6},next({5,6}))..''"#, #"2"#),
        (#"'9223372036854775807'+'1' ..''"#, #"9.2233720368548e+18"#),
        (#"-'5' ..''"#, #"-5"#),
        (#"string.format('%x',2^70)"#, #"0"#),
        (#"string.format('%u',2^63+2048)"#, #"9223372036854777856"#),
        (#"string.format('%5u|%-5u|',3,3)"#, #"    3|3    |"#),
        (#"string.format('%5.1f|%g|%i','3',2^64,2^31)"#, #"  3.0|1.84467e+19|2147483648"#),
        (#"string.format('%d%%',50/2)"#, #"25%"#),
        (#"tonumber('zz',36)..''"#, #"1295"#),
        (#"(function() local s='' for i=2^53,2^53+1 do s=s..i break end return s end)()"#, #"9.007199254741e+15"#),
        (#"(function() local s='' for i=#'abc',1,-1 do s=s..i end return s end)()"#, #"321"#),
        (#"(function() local s='' for i=math.max(1,2),({4})[1] do s=s..i%2 end return s end)()"#, #"010"#),
        (#"[[5 % 0]]"#, #"5 % 0"#),
        (#"[==[ 1 2^64 ]==]"#, #" 1 2^64 "#),
        (#"'5 % 3'"#, #"5 % 3"#),
        (#"#[[123]]..''"#, #"3"#),
        (#"1e3 ..''"#, #"1000"#),
        (#".5 ..''"#, #"0.5"#),
        (#"5. ..''"#, #"5"#),
        (#"5e0 ..''"#, #"5"#),
        (#"0Xa ..''"#, #"10"#),
        (#"3 --[[ 4 % 2 ]] ..''"#, #"3"#),
        (#"table.getn({1,2})%2 ..''"#, #"0"#),
        (#"tostring(10 == '10')"#, #"false"#),
        (#"select(2,pcall(function() error(4/2) end)):gsub('^.*: ','')"#, #"2"#),
        (#"select(2,pcall(function() assert(false,4/2) end)):gsub('^.*: ','')"#, #"2"#),
        (#"select(2,pcall(function() assert(nil) end)):gsub('^.*: ','')"#, #"assertion failed!"#),
        (#"type(select(2,pcall(error,2,0)))"#, #"number"#),
        (
            #"select(2,pcall(function() return 'a'+1 end)):gsub('^.*: ','')"#,
            #"attempt to perform arithmetic on a string value"#
        ),
        (
            #"select(2,pcall(function() return {}%2 end)):gsub('^.*: ','')"#,
            #"attempt to perform arithmetic on a table value"#
        ),
        (#"({pcall(function() error({5%3}) end)})[2][1]..''"#, #"2"#),
    ]

    private static func answers(_ source: String, file: String, count: Int) async throws -> [String] {
        let types = try ObjectTypes(adding: [script(source, file: file)])
        let host = LowLevelHost(types.handlers, services: NoItems(), compute: ComputePool(width: 1))
        let name = String(file.dropLast(4))
        var answers: [String] = []
        for index in 0..<count {
            let result = await withCheckedContinuation { continuation in
                host.call(
                    parse("\(name):n\(index):x"), data: nil, deadline: .after(milliseconds: 600_000),
                    ask: { _, _, _ in }
                ) { continuation.resume(returning: $0) }
            }
            switch result {
            case .success(let value): answers.append(String(decoding: value.answer, as: UTF8.self))
            case .failure(let failure): answers.append("<\(failure.message)>")
            }
        }
        return answers
    }

    /// The sign of what is no number is the processor's.
    private static func unsigned(_ text: String) -> String { text == "-nan" ? "nan" : text }

    @Test("an expression has the value that Lua 5.1 gives it")
    func expressions() async throws {
        var source = "numbers = {\n"
        for (index, (expression, _)) in Self.expressions.enumerated() {
            source +=
                "n\(index) = function(command, key) local v = \(expression) writeStringAsValue(command, key, v) end,\n"
        }
        let answers = try await Self.answers(source + "}", file: "numbers.lua", count: Self.expressions.count)
        for ((expression, text), answer) in zip(Self.expressions, answers) {
            #expect(Self.unsigned(answer) == Self.unsigned(text), "\(expression)")
        }
    }

    @Test("an error that is a number is its text, at its line; what is encoded has no points")
    func errorsAndEncodings() async throws {
        let source = """
            texts = {
                n0 = function() error(4 / 2) end,
                n1 = function() error(4 / 2, 0) end,
                n2 = function() assert(false, 4 / 2) end,
                n3 = function(command, key) writeStringAsValue(command, key, json.encode { 1, 4 / 2, 0.5, { a = 2 ^ 40 } }) end,
                n4 = function(command, key) writeStringAsValue(command, key, json.decode("[3]")[1] / 2) end,
                n5 = function(command, key)
                    local back = table.unmarshal(table.marshal { 2 ^ 40, "5", key = 4 / 2 })
                    writeStringAsValue(command, key, back[1] * back[1] * back[1] .. back[2] .. back.key)
                end,
                n6 = function(command, key) command:setDelta(7.9) writeStringAsValue(command, key, command:getDelta() / 2) end,
                n7 = function(command, key) writeStringAsValue(command, key, #table.marshal { 1, 2, 3 }) end,
            }
            """
        let answers = try await Self.answers(source, file: "texts.lua", count: 8)
        #expect(
            answers == [
                "<texts.lua:2: 2>", "<2>", "<texts.lua:4: 2>", "[1,2,0.5,{\"a\":1099511627776}]", "1.5",
                "1.3292279957849e+3652", "3.5", "4",
            ])
    }
}
