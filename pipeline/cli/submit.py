"""`paredown submit`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import click

from pipeline.base import streams
from pipeline.base.exit_code import (
    EXIT_INTERRUPTED,
    EXIT_INVALID,
    EXIT_NODE_FAILED,
    EXIT_NONE_PASSED,
    EXIT_PUSHED,
    EXIT_UNWATCHED,
)
from pipeline.cli import options
from pipeline.cli.outcome import print_outcome
from pipeline.kubeflow import submit as submitting
from pipeline.kubeflow.connection import Connection

_EXIT_CODES = f"""\b
Exit codes:
  {EXIT_PUSHED}    the run is started; with --wait: every task succeeded
  {EXIT_INVALID}    invalid input, or the server cannot be reached or refuses; no run was started
  {EXIT_NODE_FAILED}    --wait: a task failed, or the run was canceled
  {EXIT_NONE_PASSED}    --wait: every task succeeded, but no candidate passed the gate (see below)
  {EXIT_UNWATCHED}    the run is started, but its end is not known: --timeout is over, or the connection is lost
  {EXIT_INTERRUPTED}  interrupted; with --wait, the run goes on

KFP's API reports whether a task succeeded, but not what it found. Whether a candidate passed is read from the
log of the pusher. If the server has no logs, or if the pusher was taken from the cache, the exit code is
{EXIT_PUSHED} and a line says that the verdict is not known.

\b
Signing in works as in KFP's client:
  --token-file, or PAREDOWN_KFP_TOKEN             a token: kubectl create token …, gcloud auth print-…
  --cookies-file, or PAREDOWN_KFP_COOKIES         cookies of a browser: authservice_session=…
  --service-account-token                         inside a pod of the cluster
  --client-id                                     Google's Identity-Aware Proxy, as a service account or
                                                  as a user (with --other-client-id)
  KF_PIPELINES_ENDPOINT, KF_PIPELINES_UI_ENDPOINT, KF_PIPELINES_SA_TOKEN_PATH,
  KF_PIPELINES_IAP_OAUTH2_CLIENT_ID, KF_PIPELINES_APP_OAUTH2_CLIENT_ID, …_CLIENT_SECRET,
  KF_PIPELINES_DEFAULT_EXPERIMENT_NAME and KF_PIPELINES_OVERRIDE_EXPERIMENT_NAME are also read."""


@click.command(epilog=_EXIT_CODES)
@click.argument("source", metavar="CONFIG|FILE", type=click.Path(path_type=Path))
@click.option(
    "--host",
    metavar="URL",
    help="Address of Kubeflow Pipelines: http://localhost:8080 for a port-forward, or https://…/pipeline for a "
    "dashboard.  [env: KF_PIPELINES_ENDPOINT; default: the cluster that this runs in, or kubectl's context]",
)
@click.option("--image", help="For CONFIG: container image of the tasks, as in `compile`.")
@click.option(
    "--pipeline-root",
    metavar="URI",
    help="Where the tasks store artifacts. For CONFIG: as in `compile`. For FILE: instead of the one in it.",
)
@click.option(
    "--experiment", help="Experiment; created if it does not exist.  [default: the pipeline's name]"
)
@click.option("--run-name", help="Name of the run.  [default: the pipeline's name and the time]")
@click.option("--namespace", help="Name of your profile, if Kubeflow has several users.")
@click.option(
    "--param",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Parameter of the run, e.g. --param seed=7 or --param data_path=gs://bucket/mnist. Can be repeated.",
)
@click.option(
    "--data",
    metavar="FOLDER",
    help="Folder here with the files that data_path has in the cluster. Their fingerprint lets KFP's cache notice "
    "changes.  [default: for CONFIG, its data.path; for FILE, data_path if that is a folder here]",
)
@click.option("--service-account", metavar="NAME", help="Kubernetes service account that runs the tasks.")
@click.option(
    "--wait", is_flag=True, help="Follow the run until it ends, and exit with the codes of `run`."
)
@click.option(
    "--timeout",
    "limit",
    metavar="TIME",
    callback=options.seconds,
    help="--wait: stop waiting after 90s, 30m, 12h … The run goes on.",
)
@click.option(
    "--poll-interval",
    "tick",
    metavar="TIME",
    callback=options.seconds,
    default="10s",
    help="--wait: time between two requests for the state of the run.  [default: 10s]",
)
@click.option(
    "--token-file", metavar="FILE", help="File with a token.  [env: PAREDOWN_KFP_TOKEN: the token]"
)
@click.option(
    "--cookies-file", metavar="FILE", help="File with cookies.  [env: PAREDOWN_KFP_COOKIES: the cookies]"
)
@click.option(
    "--service-account-token",
    is_flag=False,
    flag_value="",
    metavar="[FILE]",
    help="File with a token that Kubernetes renews in a pod; without FILE, the one in KFP's usual place.",
)
@click.option("--client-id", help="OAuth client id of an Identity-Aware Proxy.")
@click.option("--other-client-id", help="OAuth client id of a desktop application, to sign in as a user.")
@click.option("--ui-host", metavar="URL", help="Address of the user interface, if it differs from --host.")
@click.option("--kube-context", metavar="NAME", help="Without --host: context of kubectl.")
@click.option(
    "--ca-cert", type=click.Path(exists=True, dir_okay=False), help="Certificates of authorities to trust."
)
@click.option(
    "--insecure", "verify_tls", is_flag=True, flag_value=False, default=True, help="Trust any certificate."
)
@click.option("--proxy", metavar="URL", help="HTTP proxy.")
@click.option(
    "--request-timeout",
    "timeout",
    metavar="TIME",
    callback=options.seconds,
    default="60s",
    help="Longest time that one request may take.  [default: 60s]",
)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="For CONFIG: override one of its keys."
)
@click.option(
    "--search",
    "searches",
    is_flag=True,
    help="For CONFIG: search its space. Each round is a run, which is followed to its end.",
)
@click.option("--only", multiple=True, metavar="CANDIDATE", help="For CONFIG: build only this candidate.")
@options.as_json
def submit(source: Path, searches: bool, **given: Any) -> int:
    """Start a run on Kubeflow Pipelines.

    With --wait, it also follows the run until it ends. A CONFIG is compiled first, which needs --image and
    --pipeline-root; a FILE was written by `compile`. The version of the pipeline is named after its content: if
    you submit the same content twice, one version has two runs. The fingerprint of the current data goes with
    each run, so that KFP's cache notices when the data change. Prints the address of the run.

    With --search, a CONFIG with a search becomes one run for each round and a last one. Between them this command
    proposes trials, so it has to stay connected. If it is stopped, the same command continues.

    \b
    Examples:
      kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80 &
      paredown submit mnist.yaml --host http://localhost:8080 --wait
      paredown submit configs/mnist/pipeline.yaml --host http://localhost:8080 \\
          --image registry.example.com/paredown:1 --pipeline-root minio://mlpipeline/paredown
      paredown submit configs/mnist/search.yaml --search --host http://localhost:8080 \\
          --image registry.example.com/paredown:1 --pipeline-root minio://mlpipeline/paredown
      paredown submit mnist.yaml --host https://kubeflow.example.com/pipeline --namespace team-a \\
          --token-file ~/.kfp-token --param seed=7 --json | jq -r .run.page
    """
    # Options are named after the fields of the two.
    connection = Connection(
        **{field.name: given.pop(field.name) for field in dataclasses.fields(Connection)}
    )
    request = submitting.Request(source=source, connection=connection, **given)
    if searches:
        return _search(request)
    report = submitting.submit(request)
    for line in (report.message or "").splitlines():
        streams.say(line)
    if given["as_json"]:
        click.echo(json.dumps(report.to_json(), indent=2))
    return report.code


def _search(request: submitting.Request) -> int:
    from pipeline.run.session import Stopped
    from pipeline.search import cluster

    outcome = cluster.search(request)
    if not isinstance(outcome, Stopped):
        return print_outcome(lambda: outcome, request.as_json)
    for line in outcome.message.splitlines():
        streams.say(line)
    if request.as_json:
        click.echo(json.dumps({"error": dataclasses.asdict(outcome)}, indent=2))
    return outcome.code
