"""What can be said of deploy/ and the Dockerfile without a cluster and without a registry: that what they name is there.

    deployment.py PROGRAM

Their options are looked at by `serve --check`. Each line that it prints is a check, `ok` or `FAILED`; the exit code is 0 if all are
ok. Wants PyYAML.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = sys.argv[1]
failed = False


def check(what, holds, more=""):
    global failed
    failed = failed or not holds
    print(f"{'ok' if holds else 'FAILED'} {what}{'' if holds else f': {more}'}", flush=True)


def serve_check(what, arguments, environment=None):
    variables = {name: value for name, value in os.environ.items() if not name.startswith("CACHEISMO_")}
    run = subprocess.run(
        [PROGRAM, *arguments, "--check"], env=variables | (environment or {}), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    check(f"the options of {what} can be used", run.returncode == 0 and run.stdout == "the options can be used\n", run.stdout)


def with_examples(text):
    """The options that are examples behind a #, too."""
    return re.sub(r"(?m)^#([a-z-]+ = )", r"\1", text)


def files_of_secrets(folder):
    secrets = pathlib.Path(folder) / "secrets"
    secrets.mkdir()
    (secrets / "users").write_text("alice:secret:read,write\n")
    (secrets / "secret").write_text("0123456789abcdef\n")
    (secrets / "scripts").mkdir()
    return secrets


def kubernetes(folder, secrets):
    base = ROOT / "deploy/kubernetes"
    kustomization = yaml.safe_load((base / "kustomization.yaml").read_text())
    documents = []
    for name in kustomization["resources"]:
        check(f"{name} is there", (base / name).is_file())
        documents += list(yaml.safe_load_all((base / name).read_text()))
    kinds = {(one["kind"], one["metadata"]["name"]): one for one in documents}
    check("each thing has a kind and a name of its own", len(kinds) == len(documents))
    [stateful] = [one for one in documents if one["kind"] == "StatefulSet"]
    spec, template = stateful["spec"], stateful["spec"]["template"]
    [container] = template["spec"]["containers"]
    labels = template["metadata"]["labels"].items()
    for one in documents:
        selector = one.get("spec", {}).get("selector")
        if selector:
            selector = selector.get("matchLabels", selector)
            check(f"{one['kind']} {one['metadata']['name']} selects the nodes", selector.items() <= labels, selector)
    headless = kinds.get(("Service", spec["serviceName"]))
    check("the nodes' service is headless, and has those that are not ready", headless and
          headless["spec"]["clusterIP"] == "None" and headless["spec"]["publishNotReadyAddresses"])

    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for one in documents:
        for port in one["spec"]["ports"] if one["kind"] == "Service" else []:
            check(f"{one['metadata']['name']} leads to a port that there is", ports.get(port["targetPort"]) == port["port"])
    paths = json.loads((ROOT / "Sources/Server/HTTP/openapi.json").read_text())["paths"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        get = container[probe]["httpGet"]
        check(f"{probe} asks what there is", get["path"] in paths and get["port"] in ports, get)
    check("the readiness probe asks for readiness", container["readinessProbe"]["httpGet"]["path"] == "/health/ready")
    wait = int(container["lifecycle"]["preStop"]["exec"]["command"][-1])
    check("there is time to wait and to answer", template["spec"]["terminationGracePeriodSeconds"] >= wait + 5 + 5)

    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    check("what is mounted is what there is", set(volumes) == set(mounts), f"{set(volumes)} {set(mounts)}")
    configuration = kinds[("ConfigMap", volumes["configuration"]["configMap"]["name"])]
    for name, text in configuration["data"].items():
        (pathlib.Path(folder) / name).write_text(text.replace(mounts["secrets"], str(secrets)))
    environment = {}
    for variable in container["env"]:
        environment[variable["name"]] = variable.get("value") or "cacheismo-0"
    path = pathlib.PurePosixPath(environment["CACHEISMO_CONFIG"])
    check("the file of options is mounted", str(path.parent) == mounts["configuration"] and path.name in configuration["data"])
    environment["CACHEISMO_CONFIG"] = str(pathlib.Path(folder) / path.name)
    serve_check("Kubernetes", container["args"], environment)
    options = dict(re.findall(r'(?m)^([a-z-]+) = "?([^"\n]*)"?$', configuration["data"][path.name]))
    check("the node listens on the ports that are named", int(options["port"]) == ports["memcached"]
          and int(options["http"].split(":")[1]) == ports["http"])
    peers = options["peers"].split(",")
    expected = [
        f"{stateful['metadata']['name']}-{at}={stateful['metadata']['name']}-{at}.{spec['serviceName']}:{options['port']}"
        for at in range(spec["replicas"])]
    check("the peers are the nodes", peers == expected, peers)
    limit = int(re.fullmatch(r"(\d+)Mi", container["resources"]["limits"]["memory"])[1])
    most = int(options["memory"]) * 1.15 + 40 + int(options["frame-memory"]) + 256
    check("the memory limit has room for what the options allow", limit >= most, f"{limit} < {most}")


def dockerfile():
    text = (ROOT / "Dockerfile").read_text()
    lines = [line for line in re.sub(r"\\\n", " ", text).split("\n") if line and not line.startswith("#")]
    ignored = (ROOT / ".dockerignore").read_text().split("\n")
    sent = {line[1:] for line in ignored if line.startswith("!")}
    stages, places, environment, packages, words = [], {}, {}, {}, {}
    for line in lines:
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            stages.append(rest.split()[-1])
        elif instruction == "COPY":
            *sources, target = [word for word in rest.split() if not word.startswith("--")]
            stage = re.search(r"--from=(\S+)", rest)
            if stage:
                check("COPY takes from a stage before", stage[1] in stages[:-1], line)
                check("what is copied is what was built", sources == [f"{places['WORKDIR']}/.build/release/cacheismo"], line)
                check("and goes where it is looked for", target == "/usr/bin/cacheismo", line)
            else:
                for source in (source.removesuffix("*") for source in sources):
                    there = (ROOT / source).exists() or source == "Package.resolved"
                    check(f"{source} is there, and sent along", there and source in sent, sent)
        elif instruction == "ENV":
            name, _, value = rest.partition("=")
            environment[name] = value
        elif instruction == "WORKDIR":
            places["WORKDIR"] = rest
        elif instruction == "RUN" and "apt-get install" in rest:
            installed = re.search(r"--no-install-recommends (.*?) &&", rest)[1]
            packages[stages[-1]] = installed.split()
        elif instruction in ("ENTRYPOINT", "CMD"):
            words[instruction] = json.loads(rest)
    for source in ("Package.swift", "Sources", "Tests", "Benchmarks"):
        check(f"what Package.swift needs is sent along: {source}", source in sent)
    check("there are two stages, the second without the compiler", stages == ["build", "node"], stages)
    check("it runs as nobody in particular", "USER 65532:65532" in lines)
    dependencies = (ROOT / "scripts/install-dependencies").read_text()
    for package in packages["build"]:
        check(f"{package} is what a build needs", f"{package}=" in dependencies)
    for package in packages["node"]:
        known = subprocess.run(["dpkg-query", "-W", package], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        check(f"{package} is a package", known.returncode == 0)
    linked = subprocess.run(["ldd", PROGRAM], stdout=subprocess.PIPE, text=True).stdout
    for library, package in [("liblua5.4", "liblua5.4-0"), ("libzstd", "libzstd1"), ("libstdc++", "libstdc++6")]:
        check(f"{package} is there where the program needs it", library not in linked or package in packages["node"])
    check("the program is what is run", words["ENTRYPOINT"] == ["cacheismo"], words)
    serve_check("the Dockerfile", words["CMD"], environment)


def debian(folder, secrets):
    text = (ROOT / "deploy/debian/cacheismo.conf").read_text()
    plain, full = pathlib.Path(folder) / "plain.conf", pathlib.Path(folder) / "full.conf"
    plain.write_text(text)
    serve_check("the package", ["serve", "--config", str(plain)])
    credentials = "/run/credentials/cacheismo.service"
    full.write_text(with_examples(text).replace(credentials, str(secrets)).replace("/etc/cacheismo", str(secrets)))
    serve_check("the package, with all examples", ["serve", "--config", str(full)])
    unit = (ROOT / "deploy/debian/cacheismo.service").read_text()
    check("the unit reads the file that the package has", "--config /etc/cacheismo/cacheismo.conf" in unit)
    for setting in ("Type=notify", "LimitNOFILE=65536", "ReadOnlyPaths=/etc/cacheismo", "DynamicUser=yes", "NoNewPrivileges=yes"):
        check(f"the unit has {setting}", f"\n{setting}\n" in unit)
    if subprocess.run(["which", "systemd-analyze"], stdout=subprocess.DEVNULL).returncode == 0:
        rated = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(ROOT / "deploy/debian/cacheismo.service")],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        check("systemd rates what the unit may do at 2.0 or less", rated.returncode == 0, rated.stdout.strip().split("\n")[-1])
    for script in ("postinst", "prerm", "postrm"):
        parsed = subprocess.run(["sh", "-n", str(ROOT / "deploy/debian" / script)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        check(f"{script} is a shell's", parsed.returncode == 0, parsed.stdout)


with tempfile.TemporaryDirectory(prefix="cacheismo-deployment-") as folder:
    secrets = files_of_secrets(folder)
    debian(folder, secrets)
    kubernetes(folder, secrets)
    dockerfile()
sys.exit(1 if failed else 0)
