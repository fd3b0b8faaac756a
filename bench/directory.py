"""The study `directory`: training from folders of photographs, as the article's second one did."""

from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace as Plan

from article import WorkerPool
from cases import DIRECTORY, preprocess_img
from check import compare_batches
from contestants import FloorFiles, Job, Keras, Multiprocessing, fastaug_with
from files import choose_files, choose_validation_files, make_files
from networks import photo_network
from plots import paces
from report import describe_settings
from runs import MEMORY, Run, RunsStudy, augmented, with_one_hot_labels
from timing import time_round

ARTICLE = "the article: 3.95 times as fast as Keras, with 11 processes"
WANTED = 0.9  # share of the pace from memory, wherever the cores can decode that fast


# As those of the study train; decode: seconds of the bare decoding.
ON_GPU = Plan(batch_size=64, images=2048, validation=256, epochs=2, interval=0.25, decode=2)
ON_CPU = Plan(batch_size=64, images=384, validation=64, epochs=1, interval=0.5, decode=1)
QUICK = Plan(batch_size=8, images=24, validation=8, epochs=1, interval=0.05, decode=0.1)


class Directory(RunsStudy):
    """Trains from Keras, the article's pool, fastaug and memory, with validation files."""

    def prepare(self):
        options = self.options
        self.plan = plan = QUICK if options.quick else ON_GPU if self.gpu else ON_CPU
        self.rounds = options.rounds or plan.epochs
        if options.dogs_vs_cats:
            folder, scratch = options.dogs_vs_cats, options.scratch
            chosen = choose_files(folder, plan.images, scratch)
            validation = choose_validation_files(folder, plan.validation, scratch)
        else:
            chosen, validation = make_files(plan.images + plan.validation, options.scratch), None
        count = len(chosen.paths)
        if validation is None:  # the last of the files
            count -= min(plan.validation, count // 4)
            validation = chosen.part(slice(count, None))
        self.images = with_one_hot_labels(chosen.first(count))
        self.validation = with_one_hot_labels(validation.part(slice(None)))
        self.case = replace(DIRECTORY, batch_size=plan.batch_size)
        # validation is not augmented
        self.plain = replace(self.case, settings={"preprocessing_function": preprocess_img})
        self.decode = None  # images per second

    def steps(self):
        return 2 + 4 * (1 + self.rounds)

    def heading(self):
        return [
            f"images    {self.images.source}; {len(self.validation.y)} for validation; "
            f"at 299x299, in batches of {self.case.batch_size}",
            f"settings  {describe_settings(self.case.settings)}",
            self.training_line(),
        ]

    def _job(self, images, case=None, pool=None):
        return Job(case or self.case, images, self.options.cores, pool=pool)

    def compare(self):
        job = self._job(self.images).start()
        kinds = [fastaug_with(w) for w in (0, self.options.cores)]
        return compare_batches(Keras(job), kinds)

    def measure(self):
        plan, cores = self.plan, self.options.cores
        self.doing("bare decode")
        with closing(FloorFiles(self._job(self.images))) as floor:
            self.decode = 1e6 / time_round(floor, plan.decode)
        self.progress.done()
        self.use(photo_network(self.case.size, self.images.y.shape[1]), plan.interval)
        self.train_from(Keras, None, *self._jobs())
        with closing(WorkerPool(cores)) as pool:
            self.train_from(Multiprocessing, cores, *self._jobs(pool))
        self.train_from(fastaug_with(cores), cores, *self._jobs())
        self.doing("augmented images for memory")
        memory = augmented(self.case, self.images)
        validation = augmented(self.plain, self.validation)
        self.progress.done()
        images = len(self.images.y) + len(self.validation.y)
        run = Run("memory", MEMORY, None, self.case.batch_size, images)
        self.train(run, memory, validation)

    def _jobs(self, pool=None):
        return self._job(self.images, pool=pool), self._job(self.validation, self.plain, pool)

    # ---- what was found ----

    def tables(self):
        if not self.timed:
            return []
        return [
            *self.runs_table(),
            f"  {ARTICLE}",
            *self._verdict(),
        ]

    def _shares(self):
        """Returns fastaug's share of the pace from memory, and whether decoding could keep up."""
        ours, memory = (self.find(key, self.case.batch_size) for key in ("fastaug", "memory"))
        if not (ours and memory):
            return None, None
        return self.ratio(ours, "memory"), self.decode >= memory.images_per_second

    def _verdict(self):
        share, could = self._shares()
        if share is None:
            return []
        memory = self.find("memory", self.case.batch_size)
        line = (
            f"  bare decode on every core: {self.decode:,.0f} images/s; training from memory: "
            f"{memory.images_per_second:,.0f} images/s"
        )
        if not could:
            return [line, "  the cores could not decode that fast, whatever they decode with"]
        if self.options.quick:
            return [line, "  the cores could decode that fast; a quick run is too short to judge"]
        kept = "kept" if share >= WANTED else "NOT kept"
        return [
            line,
            f"  the cores could decode that fast; fastaug has {share:.2f} of the pace from memory "
            f"(at least {WANTED} wanted: {kept})",
        ]

    def record(self):
        share, could = self._shares()
        return {
            "images": self.images.source,
            "validation_images": len(self.validation.y),
            "size": self.case.size,
            "settings": describe_settings(self.case.settings),
            "on_gpu": self.gpu,
            "bare_decode_images_per_second": self.decode,
            "cores_could_decode_that_fast": could,
            "fastaug_share_of_memory": share,
            "runs": self.runs_record(),
        }

    def figures(self, caption):
        yield "pace", paces("Training from folders of JPEG files, 299x299", self.timed, caption)
        title = "CPU and GPU while training from files"
        if figure := self.load_figure(title, self.case.batch_size, caption):
            yield "load", figure
