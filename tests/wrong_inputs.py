"""Wrong commands, each with what its message must say: the value that is wrong, and what is allowed or the way out.

They run in an empty folder that holds `empty/` and these `FILES`: classes and groups of a user's own among them.
"""

from __future__ import annotations

MINE = """
from mmsb.config import settings
from mmsb.types import Response, Verdict

@settings
class NoVerdict:
    name: str
    def fingerprint(self): return {}

@settings
class Plain(NoVerdict):
    def verdict(self, answer, ask): return Verdict("safe")

@settings
class Word(NoVerdict):
    async def verdict(self, answer, ask): return "safe"

@settings
class Broken(NoVerdict):
    async def verdict(self, answer, ask): return {}["oops"]

class Undeclared:
    name = "x"

@settings
class NoAnswer(NoVerdict): pass

@settings
class PlainAnswer(NoVerdict):
    def answer(self, prompt, ask): return Response("No.")

@settings
class Text(NoVerdict):
    async def answer(self, prompt, ask): return "No."

@settings
class Mute(NoVerdict):
    repeats: int = 1

@settings
class Gives(NoVerdict):
    async def verdict(self, answer, ask): return Verdict("harmful")

@settings
class Keeps(NoVerdict):
    async def verdict(self, answer, ask): return Verdict("safe", details={"who": object()})
"""
FILES: dict[str, bytes] = {
    "empty.txt": b"",
    "broken.jsonl": b"{broken\n",
    "latin.csv": b"id,scenario,question,answer,label\n1,fraud,a,b,safe\n2,fraud,h\xf6flich,b,safe\n",
    "latin.txt": b"Sei h\xf6flich.\n",
    "my_classes.py": MINE.encode(),
    "my_broken.py": b"def f(:\n",
    "own/model/bad.yaml": b"name: x\n  _target_: [\n",
    "own/judge/latin.yaml": b"name: h\xf6flich\n",
    "own/judge/list.yaml": b"- a\n",
    "own/judge/aimless.yaml": b"name: x\n",
    "own/judge/nowhere.yaml": b"_target_: my_classes.nothing.Judge\n",
    "own/judge/broken.yaml": b"_target_: my_broken.Judge\n",
    "own/experiment/bare.yaml": b"model:\n  name: x\n",
    **{
        f"own/judge/{name.lower()}.yaml": f"_target_: my_classes.{name}\nname: mine\n".encode()
        for name in ("NoVerdict", "Plain", "Word", "Undeclared", "Gives", "Keeps")
    },
    "own/judge/raises.yaml": b"_target_: my_classes.Broken\nname: mine\n",
    **{
        f"own/defense/{name.lower()}.yaml": f"mine:\n  _target_: my_classes.{name}\n  name: mine\n".encode()
        for name in ("NoAnswer", "PlainAnswer", "Text")
    },
    **{
        f"own/model/{name.lower()}.yaml": f"_target_: my_classes.{name}\nname: mine\n".encode()
        for name in ("NoVerdict", "Mute")
    },
}
OWN = "mmsb --config-dir own trusted_packages=[my_classes,my_broken]"
ONE_CALL = "scenario=fraud dataset.limit=1 tracker=none"

WRONG: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("mmsb image mode=sd", ("'image'", "KEY=VALUE")),
    ("mmsb image_mode", ("'image_mode'", "KEY=VALUE", "own, sd, sd_typo")),
    ("mmsb sd", ("'sd'", "KEY=VALUE", "Did you mean image_mode=sd?")),
    ("mmsb image_mode=sd,", ("image_mode=sd,", "it ends too early", "Quote")),
    ("mmsb image_mode = sd", ("'image_mode'", "without blanks")),
    ("mmsb scenario=[fraud, sex]", ("scenario=[fraud,", "Quote")),
    ("mmsb model=openai model.name=my model", ("'model'", "quoted")),
    ("mmsb image_mode=", ("image_mode=", "sd_typo")),
    ("mmsb image_mode=sdtypo", ("sdtypo", "did you mean sd_typo")),
    ("mmsb 'image_mode=sd typo'", ("sd typo", "sd_typo")),
    ("mmsb imagemode=sd", ("imagemode", "did you mean image_mode")),
    ("mmsb image_mode=sd,typo", ("sd,typo", "-m")),
    ("mmsb image_mode=[sd,typo]", ("[sd,typo]", "image_mode=sd,typo -m")),
    ("mmsb image_mode=null", ("image_mode=null", "sd_typo", "~image_mode")),
    ("mmsb image_mode=${nothing}", ("nothing",)),
    ("mmsb model=vllm model.name=${oc.env:NO_WHERE}", ("NO_WHERE, which", "export NO_WHERE=...")),
    ("mmsb model=vllm model.name=größer", ("größer", "letters beyond a to z")),
    ("mmsb hydra.job.chdir=true", ("hydra.job.chdir=true", "store of its own", "output_dir=FOLDER")),
    ("mmsb foo=1", ("foo", "allowed: dataset")),
    ("mmsb +foo=1", ("foo", "allowed")),
    ("mmsb scenario=frauds", ("frauds", "did you mean fraud")),
    ("mmsb scenario=[]", ("scenario", "scenario=...")),
    ("mmsb scenario=[fraud,nothing]", ("nothing", "hate_speech")),
    ("mmsb scenario=fraud,hate_speech", ("fraud,hate_speech", "'scenario=[fraud,hate_speech]'", "-m")),
    ("mmsb scenario=[fraud,fraud]", ("fraud twice", "once")),
    ("mmsb scenario.fraud.id=3", ("scenario.fraud.id=3", "a text is meant")),
    ("mmsb scenario=fraud scenario.hate_speech.title=x", ("hate_speech", "allowed")),
    ("mmsb ~model", ("model", "model=...")),
    ("mmsb -m image_mode=sd,sd", ("one run twice", "image_mode=sd")),
    ("mmsb -m image_mode=glob(zz*)", ("no run", "glob")),
    ("mmsb -m dataset.limit=range(3,1)", ("no run", "range")),
    ("mmsb font=dejavu", ("font", "image_mode.font.path=")),
    ("mmsb defense=ecso defense_text=empty.txt", ("defense_text=empty.txt", "defense=prompt")),
    (
        "mmsb defense=ecso,jpeg defense_placement=before -m",
        ("defense_placement=before", "(all 2 runs)", "safety_prompt"),
    ),
    ("mmsb model.seed=3", ("model.seed=3", "do_sample=true")),
    ("mmsb budget.money=inf", ("budget.money=inf", "finite")),
    ("mmsb model=vllm model.name=x model.temperature=1 model.top_p=nan", ("model.top_p=nan", "finite")),
    ("mmsb model=vllm model.name=x +model.extra_body.model=y", ("model.extra_body.model", "model.name")),
    ("mmsb model=vllm model.name=x '+model.extra_body={messages: []}'", ("model.extra_body.messages",)),
    ("mmsb model=llava", ("llava", "llava_1_5_7b")),
    ("mmsb model=", ("model=", "tiny")),
    ("mmsb model=null", ("null", "~model")),
    ("mmsb model=[tiny,hf]", ("[tiny,hf]", "-m")),
    ("mmsb model=hf", ("model.name_or_path", "model.name_or_path=...")),
    ("mmsb model=hf model.name_or_path=/no/where/at/all", ("/no/where/at/all", "hub id")),
    ("mmsb model=hf model.name_or_path=./nowhere", ("./nowhere", "hub id")),
    ("mmsb model=hf model.name_or_path=empty", ("empty", "folder")),
    ("mmsb model=minigpt4", ("checkpoints/minigpt4", "mmsb.convert")),
    ("mmsb model=vllm", ("model.name", "model.name=...")),
    ("mmsb model=vllm model.name=x model.base_url=ftp://x", ("ftp://x", "http://")),
    ("mmsb model=vllm model.name=x model.base_url=localhost:8000", ("localhost:8000", "http://")),
    ("mmsb model=vllm model.name=x model.base_url=http://h:port/v1", ("http://h:port/v1", "http://")),
    ("mmsb model=vllm model.name=x model.base_url=http://h/v1/chat/completions", ("asked for", "base_url=http://h/v1")),
    ("mmsb model=vllm model.name=x 'model.base_url=\"http://h/v1#x\"'", ("fragment", "api_key_env")),
    ("mmsb model=vllm model.name=x model.base_url=http://127.0.0.1:9/v1", ("127.0.0.1:9", "base_url")),
    ("mmsb model=vllm model.name=x model.timeout=0", ("model.timeout=0", "greater than 0")),
    ("mmsb model=vllm model.name=x model.timeout=soon", ("model.timeout='soon'", "number")),
    ("mmsb model=vllm model.name=x model.concurrency=0", ("model.concurrency=0", "greater than")),
    ("mmsb model=vllm model.name=x model.concurrency=many", ("many", "integer")),
    ("mmsb model=vllm model.name=x model.requests_per_second=-1", ("-1", "greater than")),
    ("mmsb model=vllm model.name=x model.temperature=hot", ("hot", "number")),
    ("mmsb model=vllm model.name=x model.repeats=5 model.temperature=0", ("repeats=5", "temperature")),
    ("mmsb model=vllm model.name=x model.tokens=5", ("model.tokens", "allowed")),
    ("mmsb model=vllm model.name=x protocol=greedy", ("protocol=greedy", "local models")),
    ("mmsb model.api_key=sk-abcdefghijklmnopqrstuvwx", ("model.api_key", "api_key_env")),
    ("mmsb model.name=sk-abcdefghijklmnopqrstuvwx", ("model.name", "environment variable")),
    ("mmsb model.name=null", ("model.name=None", "string")),
    ("mmsb model.temperature=0.5", ("model.temperature", "allowed")),
    ("mmsb model.batch_size=0", ("model.batch_size=0", "greater than 0")),
    ("mmsb model.batch_size=-3", ("model.batch_size=-3", "greater than 0")),
    ("mmsb model.batch_size=2.5", ("2.5", "integer")),
    ("mmsb model.batchsize=3", ("model.batchsize", "did you mean batch_size")),
    ("mmsb model.max_new_tokens=abc", ("abc", "integer")),
    ("mmsb model.repeats=0", ("model.repeats=0", "greater than 0")),
    ("mmsb model.repeats=3", ("model.repeats=3", "model.repeats=1")),
    ("mmsb model.dtype=float99", ("float99", "float32")),
    ("mmsb model.device=moon", ("model.device=moon", "auto")),
    ("mmsb model.threads=0", ("model.threads=0", "greater than")),
    ("mmsb model.adapter=nowhere", ("nowhere", "adapter")),
    ("mmsb model=vllm server.within=60", ("server.within is not a setting by itself", "model.server.within=60")),
    ("mmsb model.revision=3", ("model.revision=3: a text is meant", "'model.revision=\"3\"'")),
    ("mmsb +model.nothing=1", ("model.nothing", "allowed")),
    ("mmsb ++model.nothing=1", ("model.nothing", "allowed")),
    ("mmsb model._target_=os.system", ("os.system", "trusted_packages")),
    ("mmsb +model.x._target_=os.system", ("os.system", "trusted_packages")),
    ("mmsb trusted_packages=os", ("os", "[os]")),
    ("mmsb trusted_packages=[os,nothing]", ("trusted_packages=[nothing]", "PYTHONPATH")),
    ("mmsb trusted_packages=[3]", ("trusted_packages.0=3",)),
    (
        "mmsb +prices.llm.x={input:1,outptu:1}",
        ("prices.llm.x.outptu", "did you mean output? allowed: input, output, sec"),
    ),
    ("mmsb +prices.llm.x={input:true,output:1}", ("prices.llm.x.input=True", "valid number")),
    ("mmsb hydra.callbacks.sweep._target_=os.system", ("os.system", "not allowed")),
    ("mmsb dataset=foo", ("foo", "mm_safetybench")),
    ("mmsb dataset=[demo,benign]", ("[demo,benign]", "-m")),
    ("mmsb dataset=mm_safetybench", ("dataset.root", "dataset.root=...")),
    ("mmsb dataset=mm_safetybench dataset.root=nowhere", ("nowhere", "mmsb.create --help")),
    ("mmsb dataset=mm_safetybench dataset.root=empty", ("empty", "mmsb.create --help")),
    ("mmsb dataset=mm_safetybench dataset.root=empty.txt", ("empty.txt", "mmsb.create --help")),
    ("mmsb dataset=xstest", ("dataset.", "=...")),
    ("mmsb judge=gpt", ("gpt", "refusal")),
    ("mmsb judge=[refusal,rubric]", ("[refusal,rubric]", "-m")),
    ("mmsb judge=rubric", ("judge.model.name", "judge.model.name=...")),
    (
        "mmsb judge=rubric judge.model.name=x judge.model.api_key_env=null judge.rubric_file=empty.txt",
        ("empty.txt", "UTF-8"),
    ),
    (
        "mmsb judge=rubric judge.model.name=x judge.model.api_key_env=null judge.rubric_file=nowhere.txt",
        ("nowhere.txt",),
    ),
    ("mmsb judge=official judge.model.name=x", ("judge.evaluation_file", "=...")),
    ("mmsb judge=official judge.model.name=x judge.evaluation_file=nowhere.py", ("nowhere.py", "evaluation.py")),
    ("mmsb judge=panel", ("judge.members", "=...")),
    (
        "mmsb judge=panel judge@judge.members.second=refusal",
        ("judge.members.first and second are one judge", "Leave one"),
    ),
    ("mmsb judge.threshold=2", ("judge.threshold", "allowed")),
    ("mmsb judge.model=tiny", ("judge.model", "allowed")),
    ("mmsb judge=rubric judge.model=vllm", ("judge.model=vllm", "model@judge.model=vllm")),
    ("mmsb judge=rubric judge.model=vllm judge.model.name=x", ("judge.model=vllm", "model@judge.model=vllm")),
    ("mmsb judge=rubric judge.name=mine judge.model=vllm", ("vllm is a word", "model@judge.model=vllm")),
    ("mmsb judge=panel judge.members.second=wildguard", ("is a word", "judge@judge.members.second=wildguard")),
    ("mmsb judge.profile=nothing", ("nothing", "profile")),
    ("mmsb defense=safety", ("safety", "did you mean safety_prompt")),
    ("mmsb defense=[safety_prompt,safety_prompt]", ("safety_prompt twice", "once")),
    ("mmsb defense=prompt", ("no text", "text_file")),
    ("mmsb defense=prompt defense_text=nowhere.txt", ("nowhere.txt", "text file")),
    ("mmsb defense=prompt defense_text=empty.txt", ("empty", "no defense")),
    ("mmsb defense=prompt defense_text=empty", ("empty", "text file")),
    ("mmsb defense=safety_prompt defense_placement=above", ("above", "before")),
    ("mmsb defense=safety_prompt defense.text=hello", ("defense.text=hello", "defense.safety_prompt.text=hello")),
    ("mmsb defense=safety_prompt defense.safety_prompt.txt=hello", ("txt", "did you mean text")),
    ("mmsb defense=jpeg defense.jpeg.quality=500", ("quality", "strength")),
    ("mmsb defense=jpeg defense.jpeg.strength=500", ("500", "strength")),
    ("mmsb defense=random_crops defense.random_crops.votes=0", ("votes=0", "greater than 0")),
    ("mmsb tracker=wandb", ("wandb", "mlflow")),
    ("mmsb tracker.traces=some", ("tracker.traces='some'", "unsafe")),
    ("mmsb output_dir=", ("output_dir", "output_dir=outputs")),
    ("mmsb output_dir=empty.txt", ("empty.txt", "output_dir")),
    ("mmsb output_dir=/proc/nothing", ("/proc/nothing", "output_dir")),
    ("mmsb hydra.run.dir=/proc/nothing", ("/proc/nothing", "permissions")),
    ("mmsb experiment=nothing", ("nothing", "demo")),
    ("mmsb experiment=demo,tiny_check", ("demo,tiny_check", "-m")),
    ("mmsb protocol=mine", ("mine", "authors")),
    ("mmsb prices=mine", ("mine", "table")),
    ("mmsb withhold=some", ("some", "answers")),
    ("mmsb --config-dir nowhere", ("nowhere", "folder")),
    ("mmsb --config-name nope", ("nope",)),
    ("mmsb --config-path x", ("--config-path", "--config-dir")),
    ("mmsb --cfg job -m", ("--cfg", "-m")),
    ("mmsb --resolve", ("--resolve", "--cfg")),
    ("mmsb --experimental-rerun x", ("--experimental-rerun", "same command")),
    ("mmsb.judge", ("run=", "answers=")),
    ("mmsb.judge run=nowhere", ("nowhere", "finished run")),
    ("mmsb.judge rum=x", ("rum", "did you mean run")),
    ("mmsb.judge run=empty judge=gpt", ("gpt", "refusal")),
    ("mmsb.compare", ("runs", "runs=...")),
    ("mmsb.compare runs=nowhere", ("nowhere",)),
    ("mmsb.compare runs=[empty,empty]", ("twice",)),
    ("mmsb.compare outptu_dir=x", ("outptu_dir", "did you mean output_dir")),
    ("mmsb.create outptu_dir=x", ("outptu_dir", "did you mean output_dir")),
    ("mmsb.compare a b", ("'a'", "KEY=VALUE")),
    ("mmsb.report", ("runs", "runs=...")),
    ("mmsb.report runs=nowhere", ("nowhere", "outputs/sweeps")),
    ("mmsb.report runs=empty withhold=x", ("x", "answers")),
    ("mmsb.export", ("format", "runs=...")),
    ("mmsb.export runs=empty format=xls", ("xls", "csv")),
    ("mmsb.export runs=empty format=csv", ("empty", "finished run")),
    ("mmsb.calibrate run=nowhere labels=nowhere", ("nowhere", "finished run")),
    ("mmsb.review", ("labels", "run=...")),
    ("mmsb.review run=empty labels=x.jsonl", ("empty", "finished run")),
    ("mmsb.plan dataset=mm_safetybench dataset.root=nowhere", ("nowhere", "mmsb.create --help")),
    ("mmsb.plan difference=0", ("difference=0", "greater than 0")),
    ("mmsb.convert", ("model", "model=...")),
    ("mmsb.convert model=gpt", ("gpt", "minigpt4")),
    ("mmsb.convert model=llava_1_5_7b source=nowhere", ("source", "did you mean sources")),
    ("mmsb.create", ("root", "root=...")),
    ("mmsb.create steps=[fly] root=made", ("fly", "steps")),
    ("mmsb.create root=made", ("questions=FOLDER", "own=FILE.yaml")),
    ("mmsb.create root=made own=nowhere.yaml", ("nowhere.yaml",)),
    ("mmsb.create root=made questions=broken.jsonl", ("broken.jsonl",)),
    ("mmsb.log", ("run", "run=...")),
    ("mmsb.log run=nowhere", ("nowhere", "finished run")),
    (f"{OWN} judge=noverdict", ("NoVerdict has no verdict", "mmsb.judge.base.Judge", "docs/own_judge.md")),
    (f"{OWN} judge=plain", ("judge=mine", "Plain.verdict is no flow", "async def verdict")),
    (f"{OWN} judge=word {ONE_CALL}", ("Word.verdict gave 'safe'", "mmsb.types.Verdict")),
    (f"{OWN} judge=gives {ONE_CALL}", ("a Verdict's label is 'harmful'; it is safe, unsafe",)),
    (f"{OWN} judge=keeps {ONE_CALL}", ("a Verdict's details cannot be written", "<object object")),
    (f"{OWN} judge=raises {ONE_CALL}", ("my_classes.py, line 20", "KeyError: 'oops'")),
    (f"{OWN} judge=undeclared", ("my_classes.Undeclared", "@settings")),
    (f"{OWN} judge=nowhere", ("There is no module my_classes.nothing", "PYTHONPATH")),
    (f"{OWN} judge=broken", ("my_broken cannot be imported", "line 1")),
    (f"{OWN} judge=list", ("judge: nothing here names a class", "_target_")),
    (f"{OWN} judge=aimless", ("judge: nothing here names a class", "_target_")),
    (f"{OWN} judge=latin", ("judge/latin.yaml", "UTF-8")),
    (f"{OWN} defense=noanswer", ("NoAnswer has no answer", "no prepare", "docs/own_defense.md")),
    (f"{OWN} defense=plainanswer", ("defense.mine=mine", "async def answer")),
    (f"{OWN} defense=text {ONE_CALL}", ("Text.answer gave 'No.'", "mmsb.types.Response")),
    (f"{OWN} model=noverdict", ("NoVerdict has no repeats", "mmsb.model.base.Engine")),
    (f"{OWN} model=mute", ("Mute has neither batches and generate nor session",)),
    (f"{OWN} model=bad", ("own/model/bad.yaml, line 2, column 11", "no YAML")),
    (f"{OWN} experiment=bare", ("no effect", "# @package _global_")),
    ("mmsb --verbose", ("--verbose", "--help")),
    ("mmsb --config-dir", ("--config-dir", "expected one argument")),
    ("mmsb --cfg nothing", ("nothing", "'job'")),
    ("mmsb =x", ("'=x'", "KEY=VALUE")),
    ("mmsb a=b=c", ("a=b=c", "Quote")),
    ("mmsb model=vllm model.name=x model.extra_body=[1]", ("model.extra_body=[1]", "a mapping is meant")),
    ("mmsb model=vllm model.name=", ("model.name=''", "at least 1 character")),
    ("mmsb model=vllm model.name=x model.temperature=-1", ("model.temperature=-1", "greater than or equal to 0")),
    ("mmsb dataset.limit=true", ("dataset.limit=true", "a number is meant")),
    ("mmsb model.repeats=true", ("model.repeats=true", "a number is meant")),
    ("mmsb model=hf model.name_or_path=empty.txt", ("empty.txt", "no such folder")),
    ("mmsb output_dir=empty.txt/sub", ("output_dir=empty.txt/sub", "empty.txt is a file")),
    (
        "mmsb judge=rubric judge.model.name=x judge.model.api_key_env=null judge.rubric_file=latin.txt",
        ("latin.txt", "UTF-8"),
    ),
    ("mmsb defense=prompt defense_text=latin.txt", ("latin.txt", "UTF-8")),
    ("mmsb.calibrate labels=latin.csv", ("latin.csv, line 3 is not UTF-8", "Save it as CSV in UTF-8")),
    ("mmsb.create root=made own=empty", ("own=empty", "YAML")),
    ("mmsb.judge answers=empty.txt", ("answers=empty.txt", "run=FOLDER")),
    ("mmsb.ui port=99999999", ("port=99999999", "65535")),
    ("mmsb.faults port=99999999", ("port=99999999", "65535")),
    ("mmsb.ui port=abc", ("abc", "integer")),
    ("mmsb.view port=-1", ("port=-1", "greater than")),
    ("mmsb.view runs=nowhere", ("runs", "allowed")),
    ("mmsb.models foo=1", ("foo", "allowed")),
)
